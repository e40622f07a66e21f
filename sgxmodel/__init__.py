# SPDX-License-Identifier: GPL-2.0-only
"""A property-based verification harness for the Linux SGX EPC reclaimer."""

__version__ = "0.1.0"
