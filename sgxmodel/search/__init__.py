# SPDX-License-Identifier: GPL-2.0-only
"""Schedulers, runs, minimisation and verdicts."""
