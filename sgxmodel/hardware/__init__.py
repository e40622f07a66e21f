# SPDX-License-Identifier: GPL-2.0-only
"""The EPCM and the ENCLS and ENCLU leaves, from the SDM's pseudo-code (vol. 3D)."""
