# SPDX-License-Identifier: GPL-2.0-only
"""The notation: plain functions compiled to step machines, and what runs them.

Nothing in this room knows of SGX.
"""
