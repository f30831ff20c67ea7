"""A region's workers as one, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.outbox.pulses import STOPPED, Pulse
from pipeline.views.workers import SILENT_MS, Workers, workers
from tests.unit.outbox.builders import NOW

YES = Pulse("r1", "w1", NOW, lanes=64, busy=3, reachable=True, since=NOW - 900, reason=None)
NO = replace(YES, worker="w2", busy=9, reachable=False, since=NOW - 50, reason="connection refused")
NEW = replace(YES, worker="w3", busy=0, reachable=None, since=None)
OLD = replace(NO, worker="w4", time=NOW - SILENT_MS)
WORDS = f"{STOPPED} region-sync.events.r1 for 60 s: 60 dead letters within a minute"
FULL = replace(YES, worker="w6", reason=WORDS)
RETRIES = replace(YES, worker="w5", since=NOW - 1_000, reason="database: locked")


@pytest.mark.parametrize(
    ("pulses", "found"),
    [
        pytest.param([], Workers(0, None, None, None, None, 0, 0), id="none ever"),
        pytest.param([OLD], Workers(0, NOW - SILENT_MS, None, None, None, 0, 0), id="none now"),
        pytest.param([YES, OLD], Workers(1, NOW, True, NOW - 900, None, 64, 3), id="one"),
        pytest.param([YES, NO], Workers(2, NOW, False, NOW - 50, "connection refused", 128, 12), id="half"),
        pytest.param([NEW], Workers(1, NOW, None, None, None, 64, 0), id="just begun"),
        pytest.param([NEW, YES], Workers(2, NOW, True, NOW - 900, None, 128, 3), id="and one just begun"),
        pytest.param(
            [YES, RETRIES], Workers(2, NOW, True, NOW - 1_000, "database: locked", 128, 6), id="retries"
        ),
        pytest.param([YES, FULL], Workers(2, NOW, True, NOW - 900, WORDS, 128, 6, WORDS), id="stopped"),
        pytest.param(
            [NO, FULL],
            Workers(2, NOW, False, NOW - 50, "connection refused", 128, 12, WORDS),
            id="stopped, and one without an answer",
        ),
    ],
)
def test_workers_as_one(pulses: list[Pulse], found: Workers) -> None:
    assert workers(pulses, NOW) == found
