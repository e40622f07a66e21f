# SPDX-License-Identifier: GPL-2.0-only
"""Exhaustive search over ids, for any system of tasks and operations.

This package knows tasks, slots and locks; what they mean is the business of
the :class:`~sgxmodel.search.explore.machine.Machine` that it is given.
"""
