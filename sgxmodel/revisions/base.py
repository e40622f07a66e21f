# SPDX-License-Identifier: GPL-2.0-only
"""What a revision tells the invariants about how it keeps pages."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(eq=False)
class Lists:
    """Names of the LRU's parts; each is looked up in the layout's namespace."""

    lock: tuple[str, ...]
    """Path of the lock, e.g. ("sgx_global_lru", "lock")."""
    reclaimable: tuple[str, ...]
    unreclaimable: tuple[str, ...] | None
    in_progress: int
    """Flag of an isolated page, 0 where "isolated" is TRACKED and on no list."""
    reclaimer: str
    """The function whose locked section takes pages off the reclaimable list."""

    def find(self, namespace: dict[str, Any], path: tuple[str, ...] | None) -> Any:
        """The handle that a path names."""
        if path is None:
            return None
        handle = namespace[path[0]]
        for part in path[1:]:
            handle = getattr(handle, part)
        return handle
