# SPDX-License-Identifier: GPL-2.0-only
"""A scheduler that takes the moves of a path one by one."""

from __future__ import annotations

from collections.abc import Sequence

from sgxmodel.search.explore.explorer import Move
from sgxmodel.search.schedule import NEVER


class Follow:
    """Past the end of the path, or where a move is not possible, as by default."""

    by_priority = False

    def __init__(self, moves: Sequence[Move]) -> None:
        self.moves = moves

    def begin(self, tasks: int) -> None:
        self.next_at = 0

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        if step >= len(self.moves):
            self.next_at = NEVER
            return default
        wanted = self.moves[step].task
        return wanted if wanted in enabled else default

    def choose(self, alternatives: int, step: int) -> int:
        return self.moves[step].choice if step < len(self.moves) else 0
