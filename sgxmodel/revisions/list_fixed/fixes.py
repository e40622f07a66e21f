# SPDX-License-Identifier: GPL-2.0-only
"""Each fix with the fault that it removes."""

from __future__ import annotations
