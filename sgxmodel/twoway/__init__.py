# SPDX-License-Identifier: GPL-2.0-only
"""The model and a kernel tree held against each other, call by call and move by move."""
