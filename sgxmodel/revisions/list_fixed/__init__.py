# SPDX-License-Identifier: GPL-2.0-only
"""list_v2 with the smallest changes that make every invariant hold."""

from sgxmodel.revisions.list_fixed import fixes
from sgxmodel.revisions.list_v2 import FLAGS, LISTS
from sgxmodel.revisions.list_v2 import STATICS as STATICS_V2

MODULES = (fixes,)
STATICS = (*STATICS_V2, fixes.sgx_nr_isolated)
__all__ = ["FLAGS", "LISTS", "MODULES", "STATICS"]
