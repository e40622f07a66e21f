# SPDX-License-Identifier: GPL-2.0-only
"""What a run did, as plain data that names its steps, and its text form."""
