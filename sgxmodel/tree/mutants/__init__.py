# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of a kernel tree's driver: patches for it, decided by the tree's engine."""
