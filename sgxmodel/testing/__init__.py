# SPDX-License-Identifier: GPL-2.0-only
"""Hypothesis strategies, state machines and profiles: the only room that imports hypothesis.

This file itself imports nothing: the pytest plugin reads it in every project.
"""

PROFILE_NAMES = ("dev", "ci", "nightly", "debug")
