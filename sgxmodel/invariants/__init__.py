# SPDX-License-Identifier: GPL-2.0-only
"""What the reclaimer must guarantee: one file per family, one exception class per property."""
