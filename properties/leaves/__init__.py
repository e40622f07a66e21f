# SPDX-License-Identifier: GPL-2.0-only
"""The leaves against the SDM."""
