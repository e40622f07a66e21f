# SPDX-License-Identifier: GPL-2.0-only
"""list_v2 with the smallest changes that make every invariant hold."""

BASE = "list_v2"
