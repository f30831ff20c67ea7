"""A minute of `make soak`, and its own judgement held to tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.kafka import Kafka
from tests.soak.soaking import Report, Services, failures, soak
from tests.soak.watching import LONG, Series, Tolerance, Watch, slope


@pytest.fixture
def broker(tmp_path: Path, services_cache: Path) -> Iterator[str]:
    """One of its own: the names of the topics are fixed, and other tests' messages would count as lag."""
    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        yield kafka.address


@pytest.mark.services
async def test_a_minute_of_load_leaves_nothing_behind(
    broker: str, amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Everything arrives everywhere, the lag goes back to zero, and nothing runs away. How fast is not asked:
    that is the machine's business."""
    folder = tmp_path / "soak"
    folder.mkdir()
    report = await soak(Services(amqp_url, broker, database_url), folder, 60)
    assert report.failures == []
    assert (report.lag_left, report.differing) == (0, 0)
    measured = {(one.part.partition("-")[0], one.measure) for one in report.verdicts}
    own = {"memory MiB", "files", "threads"}
    assert measured >= {(part, measure) for part in ("hub", "bridge", "worker") for measure in own}
    assert ("all", "connections") in measured


SERIES: list[tuple[str, Series, Tolerance, bool]] = [
    ("flat", [(t, 100.0) for t in range(20)], Tolerance(5), False),
    ("within the amount", [(t, 100 + t * 0.2) for t in range(20)], Tolerance(5), False),
    ("beyond the amount", [(t, 100 + t) for t in range(20)], Tolerance(5), True),
    ("within the share", [(t, 1000 + t) for t in range(20)], Tolerance(5, 0.05), False),
    ("one odd sample", [(t, 900.0 if t == 19 else 100.0) for t in range(20)], Tolerance(5), False),
    ("a saw", [(t, 100.0 + t % 5 * 20) for t in range(50)], Tolerance(5), False),
    ("a saw that climbs", [(t, 100.0 + t % 5 * 20 + t) for t in range(50)], Tolerance(5), True),
    ("it falls", [(t, 100.0 - t) for t in range(20)], Tolerance(5), False),
]


@pytest.mark.parametrize(("what", "series", "tolerance", "grows"), SERIES, ids=[one[0] for one in SERIES])
def test_what_grows_is_told_from_what_does_not(
    what: str, series: Series, tolerance: Tolerance, grows: bool
) -> None:
    watch = Watch()
    watch.series["hub", "files"] = series
    [verdict] = watch.verdicts(0, {"files": tolerance})
    assert verdict.grows is grows


def test_what_was_before_the_warm_up_was_over_does_not_count() -> None:
    watch = Watch()
    watch.series["hub", "files"] = [(t, t * 100.0) for t in range(10)] + [(t, 1000.0) for t in range(10, 20)]
    [verdict] = watch.verdicts(10, LONG)
    assert not verdict.grows


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-1000, 1000))
def test_the_slope_of_a_line_is_its_own(per_s: float, at: float) -> None:
    assert slope([(t, at + per_s * t) for t in range(30)]) == pytest.approx(per_s, abs=1e-6)


def test_this_process_is_measured() -> None:
    watch = Watch()
    watch.process("own", os.getpid(), 0.0)
    assert {measure for _, measure in watch.series} == {"memory MiB", "files", "threads"}
    assert all(value > 0 for series in watch.series.values() for _, value in series)


def report(**changed: object) -> Report:
    fields = {
        "changes": 5,
        "seconds": 1.0,
        "under_way": 2,
        "latencies": {},
        "verdicts": (),
        "lag_most": 10,
        "lag_left": 0,
        "differing": 0,
    }
    return Report(**(fields | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"lag_most": 201}, ["lag: 201 messages for 2 changes under way"]),
        ({"lag_left": 1}, ["lag: 1 messages are left"]),
        ({"differing": 3}, ["3 entities differ"]),
        ({"changes": 0}, ["no change arrived"]),
    ],
)
def test_what_a_soak_must_not_end_with(changed: dict[str, object], words: list[str]) -> None:
    assert failures(report(**changed)) == words
