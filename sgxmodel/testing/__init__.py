# SPDX-License-Identifier: GPL-2.0-only
"""Hypothesis strategies, state machines and profiles: the only room that imports hypothesis."""
