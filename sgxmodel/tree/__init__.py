# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as the system under check."""
