# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios: a configuration, and per task a list of calls; their text form; the named ones."""
