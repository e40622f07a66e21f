# SPDX-License-Identifier: GPL-2.0-only
"""list_v2 with the smallest changes that make every invariant hold."""

from sgxmodel.revisions.list_fixed import fixes
from sgxmodel.revisions.list_v2 import FLAGS, LISTS, STATICS
from sgxmodel.revisions.list_v2 import MODULES as MODULES_V2

MODULES = (*MODULES_V2, fixes)
__all__ = ["FLAGS", "LISTS", "MODULES", "STATICS"]
