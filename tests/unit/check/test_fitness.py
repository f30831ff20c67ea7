"""What a region's version and configuration mean, in one sentence each."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.check.finding import Finding, Verdict
from pipeline.check.fitness import Told, judge
from pipeline.settings import Region, Settings

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
NO_USERS = "a user cannot be moved (moveUser came with 4.11)"
NO_LOG = "its event log does not tell whom an event is about (resourceid came with 4.17)"
NO_DOMAINS = "a domain cannot be moved (moveDomain came with 4.19)"
LIMIT = "on: 25 calls in 1 s for each account that is no root administrator's"


def region(**more: Any) -> Region:
    one = {"name": "r1", "host": "http://127.0.0.1:1", "api_key": "k", "secret_key": "s", **more}
    return Settings.parse({"regions": [one]}, {}).regions[0]


AMQP = {"bus": {"source": "amqp", "url": "amqp://127.0.0.1:1"}}


def found(told: Told, what: str, **settings: Any) -> list[tuple[Verdict, str]]:
    findings: list[Finding] = list(judge(region(**settings), told))
    assert {one.region for one in findings} == {"r1"}
    return [(one.verdict, one.detail) for one in findings if one.what == what]


@pytest.mark.parametrize(
    ("version", "verdict", "detail"),
    [
        ("4.22.0.0-SNAPSHOT", OK, "CloudStack 4.22.0.0-SNAPSHOT"),
        ("4.20.1.0", OK, "CloudStack 4.20.1.0"),
        ("4.100", OK, "CloudStack 4.100"),
        ("5.0.0", OK, "CloudStack 5.0.0"),
        (
            "4.19.3.0",
            WARN,
            "CloudStack 4.19.3.0: its event bus is set up in another way than in 4.22, which was measured",
        ),
        ("4.18.2.5", FAIL, f"CloudStack 4.18.2.5 is too old: {NO_DOMAINS}"),
        ("4.16.1.0", FAIL, f"CloudStack 4.16.1.0 is too old: {NO_LOG}; {NO_DOMAINS}"),
        ("4.9.3.1", FAIL, f"CloudStack 4.9.3.1 is too old: {NO_USERS}; {NO_LOG}; {NO_DOMAINS}"),
        ("", WARN, "the region tells no version: 4.19 at least is needed"),
        ("next", WARN, "the region tells a version that cannot be read ('next'): 4.19 at least is needed"),
    ],
)
def test_the_version(version: str, verdict: Verdict, detail: str) -> None:
    assert found(Told(version), "version") == [(verdict, detail)]


@pytest.mark.parametrize(
    ("configuration", "rate", "verdict", "detail"),
    [
        ({}, None, OK, "off"),
        ({"enabled": "false", "max": "25"}, None, OK, "off"),
        (
            {"enabled": "true"},
            None,
            WARN,
            f"{LIMIT}; rate_per_s sets no limit: set it to 25 or less to be sure",
        ),
        ({"enabled": "true"}, 25.0, OK, f"{LIMIT}; rate_per_s is 25"),
        ({"enabled": "true"}, 26, WARN, f"{LIMIT}; rate_per_s is 26: set it to 25 or less to be sure"),
        (
            {"enabled": "True", "max": "5", "interval": "2"},
            3,
            WARN,
            "on: 5 calls in 2 s for each account that is no root administrator's; rate_per_s is 3: "
            "set it to 2.5 or less to be sure",
        ),
        (
            {"enabled": "true", "max": "many", "interval": "0"},
            20,
            OK,
            f"{LIMIT}; rate_per_s is 20",
        ),
    ],
)
def test_throttling(configuration: dict[str, str], rate: float | None, verdict: Verdict, detail: str) -> None:
    told = Told(configuration={f"api.throttling.{name}": value for name, value in configuration.items()})
    assert found(told, "throttling", rate_per_s=rate) == [(verdict, detail)]


@pytest.mark.parametrize(
    ("days", "verdict", "detail"),
    [
        ("15", OK, "the event log is kept 15 days: so long an outage is made up for"),
        ("3", OK, "the event log is kept 3 days: so long an outage is made up for"),
        ("0", OK, "the event log is kept for ever"),
        (
            "1",
            WARN,
            "the event log is kept 1 day: what is removed in a longer outage is taken for lost and made "
            "again; set event.purge.delay to 15",
        ),
        (None, WARN, "the region does not tell event.purge.delay: 15 days are taken"),
        ("-1", WARN, "the region does not tell event.purge.delay: 15 days are taken"),
    ],
)
def test_the_horizon(days: str | None, verdict: Verdict, detail: str) -> None:
    told = Told(configuration={} if days is None else {"event.purge.delay": days})
    assert found(told, "horizon") == [(verdict, detail)]


@pytest.mark.parametrize(
    ("enforced", "post", "fails"), [("true", False, True), ("true", True, False), ("false", False, False)]
)
def test_changes_that_must_be_posted(enforced: str, post: bool, fails: bool) -> None:
    told = Told(configuration={"enforce.post.requests.and.timestamps": enforced})
    assert [verdict for verdict, _ in found(told, "requests", post=post)] == [FAIL] * fails


@pytest.mark.parametrize(
    ("value", "settings", "fails"),
    [("false", AMQP, True), ("true", AMQP, False), (None, AMQP, False), ("false", {}, False)],
)
def test_a_bus_that_is_told_nothing(value: str | None, settings: dict[str, Any], fails: bool) -> None:
    told = Told(configuration={} if value is None else {"publish.action.events": value})
    assert [verdict for verdict, _ in found(told, "bus", **settings)] == [FAIL] * fails
