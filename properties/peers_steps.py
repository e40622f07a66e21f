# SPDX-License-Identifier: GPL-2.0-only
"""The numbered lines of the peers' model, one method each; see ``peers``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from sgxmodel.search.explore.machine import Broken, Plain

NONE = 15
T, P, E, V, LINKED, BEING = range(6)
"""A page's flags: one slot each, as each is a variable of its own in the other tools' models."""


@attrs.frozen
class Size:
    """Pages, enclaves, pages a scan, rounds, removals, fault threads, faults, tracked pages."""

    n: int
    e: int
    k: int
    r: int
    dn: int = 1
    nf: int = 1
    fn: int = 1
    p0: int = 3


SMALL = Size(3, 1, 2, 1, p0=2)
MEDIUM = Size(4, 2, 3, 2)
LARGE = Size(5, 2, 2, 2, nf=2)

FREE, UNRECLAIMABLE, LIST, ISOLATED, LRU = range(5)


def without(queue: tuple[int, ...], page: int) -> tuple[int, ...]:
    return tuple(p for p in queue if p != page)


class Lines(Plain):
    """``_NUMBER(task, local state, choice, window) -> local state``."""

    size: Size
    bug: int
    flags: int
    own: int
    ref: int
    el: int
    enclave: Sequence[int]

    # -- shared pieces --------------------------------------------------------------------

    def _unlock(self, S: Any, lock: int) -> None:
        S.release(lock)
        S[lock] = 0

    def _at(self, flag: int, page: int) -> int:
        """The slot of a page's flag."""
        return self.flags + flag * self.size.n + page

    def _clear(self, S: Any, page: int) -> None:
        for flag in (T, P, E, V):
            S[self._at(flag, page)] = 0

    def _busy(self, S: Any, page: int) -> bool:
        return bool(S[self._at(T, page)] and S[self._at(P, page)])

    def _pick(self, t: int, S: Any) -> list[int]:
        """Pages of the enclave that could be removed."""
        out = []
        for p in range(self.size.n):
            if S[self.own + p] == self.enclave[t] and S[self._at(LINKED, p)]:
                if not (S[self._at(BEING, p)] or S[self._at(V, p)]):
                    out.append(p)
        return out

    def _drop(self, S: Any, page: int) -> None:
        if page in S[ISOLATED]:
            raise Broken("I5", f"page {page} is dropped while isolated")
        S[UNRECLAIMABLE] = S[UNRECLAIMABLE] - {page}
        S[LIST] = without(S[LIST], page)

    def _free(self, S: Any, page: int) -> None:
        if page in S[FREE]:
            raise Broken("I6", f"page {page} is freed twice")
        S[self._at(LINKED, page)] = 0
        S[self.own + page] = 0
        S[FREE] = S[FREE] | {page}

    def _put(self, S: Any, e: int) -> bool:
        """Give a reference back; whether it was the last one."""
        S[self.ref + e] = S[self.ref + e] - 1
        return not S[self.ref + e]

    # -- the reclaimer: (label, rounds, cnt, cur, idx, re, last, rp) ------------------------

    def _0(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (1, x[1] - 1, *x[2:])

    def _1(self, t: int, x: Any, c: int, S: Any) -> Any:
        _, rounds, cnt, cur, idx, re, last, rp = x
        if cnt == self.size.k or not S[LIST]:
            return (6, rounds, 0, cur, idx, re, NONE, rp)
        cur = S[LIST][0]
        if cur == last:
            raise Broken("I7", f"the scan meets page {cur} again")
        after, keep = 2, cur
        if not S[self._at(E, cur)]:
            after, keep = (1, NONE) if self.bug == 2 else (5, cur)
        return (after, rounds, cnt + 1, keep, idx, re, cur, rp)

    def _2(self, t: int, x: Any, c: int, S: Any) -> Any:
        slot = self.ref + S[self.own + x[3]]
        if not S[slot] and self.bug != 5:
            return (4, *x[1:])
        S[slot] = S[slot] + 1
        return (3, *x[1:])

    def _3(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[self._at(P, x[3])] = 1
        return (31, *x[1:])

    def _31(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[LIST] = without(S[LIST], x[3])
        S[ISOLATED] = (*S[ISOLATED], x[3])
        return (1, *x[1:3], NONE, *x[4:])

    def _4(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[self._at(T, x[3])] = 0
        return (5, *x[1:])

    def _5(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[LIST] = without(S[LIST], x[3])
        return (1, *x[1:3], NONE, *x[4:])

    def _6(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (7 if S[ISOLATED] else 0, *x[1:])

    def _7(self, t: int, x: Any, c: int, S: Any) -> Any:
        _, rounds, cnt, cur, idx, re, last, rp = x
        iso = S[ISOLATED]
        if idx >= len(iso):
            return (14 if iso else 0, rounds, cnt, cur, 0, re, last, rp)
        cur, re = iso[idx], S[self.own + iso[idx]]
        young = 110 if self.bug == 3 else 10
        return (8 if c else young, rounds, cnt, cur, idx, re, last, rp)

    def _8(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (9, *x[1:])

    def _9(self, t: int, x: Any, c: int, S: Any) -> Any:
        if c:
            return (92, *x[1:])
        S[self._at(BEING, x[3])] = 1
        return (91, *x[1:])

    def _91(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + x[5] - 1)
        return (7, x[1], x[2], NONE, x[4] + 1, 0, x[6], x[7])

    def _92(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + x[5] - 1)
        return (110 if self.bug == 3 else 10, *x[1:])

    def _110(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[self._at(P, x[3])] = 0
        return (10, *x[1:])

    def _10(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (12 if self.bug == 3 else 11, *x[1:])

    def _11(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[self._at(P, x[3])] = 0
        return (12, *x[1:])

    def _12(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[ISOLATED] = without(S[ISOLATED], x[3])
        S[LIST] = (*without(S[LIST], x[3]), x[3])
        return (13, *x[1:])

    def _13(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (131, *x[1:3], NONE, *x[4:])

    def _131(self, t: int, x: Any, c: int, S: Any) -> Any:
        if self._put(S, x[5]):
            return (50, *x[1:])
        return (7, *x[1:5], 0, *x[6:])

    def _14(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (15, *x[1:5], S[self.own + S[ISOLATED][x[4]]], *x[6:])

    def _15(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + x[5] - 1)
        idx = x[4] + 1
        last = idx == len(S[ISOLATED])
        return (16 if last else 14, *x[1:4], 0 if last else idx, 0, *x[6:])

    def _16(self, t: int, x: Any, c: int, S: Any) -> Any:
        cur = S[ISOLATED][0]
        return (17, *x[1:3], cur, x[4], S[self.own + cur], *x[6:])

    def _17(self, t: int, x: Any, c: int, S: Any) -> Any:
        S[self._at(LINKED, x[3])] = S[self._at(BEING, x[3])] = 0
        return (18, *x[1:])

    def _18(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + x[5] - 1)
        return (19, *x[1:])

    def _19(self, t: int, x: Any, c: int, S: Any) -> Any:
        if self._put(S, x[5]):
            return (50, *x[1:])
        return (20, *x[1:5], 0, *x[6:])

    def _20(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._clear(S, x[3])
        return (21, *x[1:])

    def _21(self, t: int, x: Any, c: int, S: Any) -> Any:
        cur = x[3]
        if cur in S[FREE]:
            raise Broken("I6", f"page {cur} is freed twice")
        iso = S[ISOLATED] = without(S[ISOLATED], cur)
        S[FREE] = S[FREE] | {cur}
        S[self.own + cur] = 0
        return (16 if iso else 0, *x[1:3], NONE, *x[4:])

    # -- release, inlined in all three: the page is rp in R, p in the others ----------------

    @staticmethod
    def _cursor(t: int) -> int:
        return 2 if t else 7

    def _with(self, t: int, x: Any, label: int, page: int) -> Any:
        at = self._cursor(t)
        return (label, *x[1:at], page, *x[at + 1 :])

    def _50(self, t: int, x: Any, c: int, S: Any) -> Any:
        e = self.enclave[t] or x[5]
        for p in range(self.size.n):
            if S[self.own + p] == e and S[self._at(LINKED, p)]:
                return self._with(t, x, 51, p)
        if t:
            return self._with(t, x, 99, NONE)
        if x[3] == NONE:
            return (7, *x[1:5], 0, x[6], NONE)
        return (20, *x[1:4], 0, 0, x[6], NONE)

    def _51(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (52, *x[1:])

    def _52(self, t: int, x: Any, c: int, S: Any) -> Any:
        page = x[self._cursor(t)]
        if self._busy(S, page):
            raise Broken("I5", f"page {page} is dropped while in progress")
        self._drop(S, page)
        return (53, *x[1:])

    def _53(self, t: int, x: Any, c: int, S: Any) -> Any:
        page = x[self._cursor(t)]
        self._clear(S, page)
        S[self._at(BEING, page)] = 0
        return (54, *x[1:])

    def _54(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (55, *x[1:])

    def _55(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._free(S, x[self._cursor(t)])
        return self._with(t, x, 50, NONE)

    # -- removal: (label, ops, p) -----------------------------------------------------------

    def _60(self, t: int, x: Any, c: int, S: Any) -> Any:
        if x[1]:
            return (x[0] + 1, x[1] - 1, *x[2:])
        return (50 if self._put(S, self.enclave[t]) else 99, *x[1:])

    def _61(self, t: int, x: Any, c: int, S: Any) -> Any:
        pages = self._pick(t, S)
        return (62, x[1], pages[c]) if pages else (67, *x[1:])

    def _62(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (63, *x[1:])

    def _63(self, t: int, x: Any, c: int, S: Any) -> Any:
        if self._busy(S, x[2]) and self.bug != 1:
            return (66, *x[1:])
        self._drop(S, x[2])
        return (64, *x[1:])

    def _64(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._clear(S, x[2])
        return (65, *x[1:])

    def _65(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (651, *x[1:])

    def _651(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._free(S, x[2])
        return (67, x[1], NONE)

    def _66(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (67, x[1], NONE)

    def _67(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + self.enclave[t] - 1)
        return (60, *x[1:])

    # -- faults: (label, ops, p, kind) --------------------------------------------------------

    _70 = _60

    def _71(self, t: int, x: Any, c: int, S: Any) -> Any:
        if not S[FREE]:
            return (76, *x[1:])
        p = min(S[FREE])
        S[FREE] = S[FREE] - {p}
        S[self._at(LINKED, p)] = 1
        S[self.own + p] = self.enclave[t]
        return (72, x[1], p, c + 1)

    def _72(self, t: int, x: Any, c: int, S: Any) -> Any:
        return (73, *x[1:])

    def _73(self, t: int, x: Any, c: int, S: Any) -> Any:
        kinds = {1: (T, E), 2: (V, T) if self.bug == 4 else (V,), 3: (T,)}
        for flag in kinds[x[3]]:
            S[self._at(flag, x[2])] = 1
        return (74, *x[1:])

    def _74(self, t: int, x: Any, c: int, S: Any) -> Any:
        if x[3] == 2 and self.bug != 4:
            S[UNRECLAIMABLE] = S[UNRECLAIMABLE] | {x[2]}
        else:
            S[LIST] = (*S[LIST], x[2])
        return (75, x[1], x[2], 0)

    def _75(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, LRU)
        return (76, x[1], NONE, 0)

    def _76(self, t: int, x: Any, c: int, S: Any) -> Any:
        self._unlock(S, self.el + self.enclave[t] - 1)
        return (70, *x[1:])
