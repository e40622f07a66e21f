# SPDX-License-Identifier: GPL-2.0-only
"""The kernel around the driver: lists, locks, references, wait queues, memory."""
