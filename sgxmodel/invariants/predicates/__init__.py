# SPDX-License-Identifier: GPL-2.0-only
"""Predicates over states: each file here names its own in a tuple ``PREDICATES``."""
