# SPDX-License-Identifier: GPL-2.0-only
"""Worker processes: what an interrupt leaves of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.verdict import Checked, failed
from sgxmodel.search.workers import in_workers

TWO = (SCENARIOS["x-fault-reclaim"], SCENARIOS["x-eaug-eaug"])


def endless(folder: Path, scenario: Scenario, until: float | None) -> Checked:
    """Goes on until it is interrupted, then says what it was at."""
    try:
        (folder / scenario.name).touch()
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        return failed(scenario, "last words")


def interrupt_when(folder: Path, count: int) -> threading.Thread:
    """Ctrl-C, once so many have begun."""

    def watch() -> None:
        while len(list(folder.iterdir())) < count:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A shell's background jobs, and so all that they start, ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("grace", [60.0, 0.0])
def test_an_interrupt_leaves_time_for_last_words(tmp_path: Path, grace: float) -> None:
    thread = interrupt_when(tmp_path, 2)
    results = in_workers(partial(endless, tmp_path), TWO, 2, None, "died", grace)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        said.extend(one.result.message for one in results)
    thread.join()
    assert said == (["last words"] * 2 if grace else [])
