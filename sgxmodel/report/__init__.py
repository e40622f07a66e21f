# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts and traces for a mail and for machines.  Imports no model."""
