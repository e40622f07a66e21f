# SPDX-License-Identifier: GPL-2.0-only
"""If I change this helper, would anything notice?"""
