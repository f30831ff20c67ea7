"""The merger on a store, with regions that may not say everything: places by the records, what is made and
removed there, what is put off, what is written down."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from pipeline.agents.early import TRIES, TRIES_IN_UNBORN, Early
from pipeline.agents.naming import minted
from pipeline.core import topics
from pipeline.core.authority import CORRECTION_DELAY_MS, CORRECTIONS_AT_ONCE
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import SCAN, parse_event
from pipeline.core.merge import Outcome
from pipeline.core.records import Observation, Source, Sources
from pipeline.outbox.engine import migrate, open_database, writing
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.schema import conflict, decision, entity, outbox, rmap
from tests.unit.agents.regions import Log, account, domain, gone, new_log, user
from tests.unit.outbox.builders import NOW, Clock, row, rows

ACME: Sources = (Source(("acme",)),)
USERS: Sources = (Source(("acme",), frozenset({Kind.USER})),)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which all regions have all of two customers with an account each."""
    path = tmp_path_factory.mktemp("furnished") / "hub.db"
    migrate(f"sqlite:///{path}")
    engine = open_database(f"sqlite:///{path}")
    log = new_log(HubStore(engine, Clock()))
    for ones in (
        (domain("r1", "acme"), domain("r1", "other")),
        (account("r1", "a", parent="acme"), account("r1", "o", parent="other")),
        (user("r1", "ann", parent="a"), user("r1", "oda", parent="o")),
    ):
        log.applied(*log.say(*ones))
    with writing(engine) as connection:
        connection.execute(delete(decision))
    engine.dispose()
    return path


@pytest.fixture
def engine(furnished: Path, tmp_path: Path) -> Iterator[Engine]:
    """A copy of the test's own."""
    path = tmp_path / "hub.db"
    with closing(sqlite3.connect(furnished)) as known, closing(sqlite3.connect(path)) as copy:
        known.backup(copy)
    opened = open_database(f"sqlite:///{path}")
    yield opened
    opened.dispose()


def later(engine: Engine, sources: Mapping[str, Sources] | None = None) -> Log:
    """The same topic, after what the furnished database has of it."""
    log = new_log(HubStore(engine, Clock()), sources)
    log.go_on_from(1_000)
    return log


@pytest.fixture
def log(engine: Engine) -> Log:
    return later(engine)


@pytest.fixture
def limited(engine: Engine) -> Log:
    """r2 is a source for /acme alone, r3 for nothing."""
    return later(engine, {"r2": ACME, "r3": ()})


def changed(seen: Observation, **fields: str) -> Observation:
    return replace(seen, fields={**(seen.fields or {}), **fields})


ITS_OWN = [
    changed(domain("r2", "acme"), networkdomain="n.example"),
    changed(account("r2", "a", parent="acme"), state="disabled"),
    changed(user("r2", "ann", parent="a"), email="new"),
    domain("r2", "new", parent="acme"),
    account("r2", "new", parent="acme"),
    user("r2", "new", parent="a"),
    gone("r2", Kind.USER, "ann"),
    gone("r2", Kind.DOMAIN, "acme"),
]
NOT_ITS_OWN = [
    changed(domain("r2", "other"), networkdomain="n.example"),
    changed(account("r2", "o", parent="other"), state="disabled"),
    changed(user("r2", "oda", parent="o"), email="new"),
    domain("r2", "new"),
    account("r2", "new"),
    account("r2", "new", parent="other"),
    user("r2", "new", parent="o"),
    user("r2", "new", parent="nobody-knows"),
    gone("r2", Kind.USER, "oda"),
    gone("r2", Kind.DOMAIN, "other"),
    domain("r2", "acme", "renamed"),
    domain("r2", "acme", parent="other"),
    domain("r2", "other", parent="acme"),
    user("r2", "ann", parent="o"),
    user("r2", "oda", parent="a"),
]


@pytest.mark.parametrize("seen", ITS_OWN, ids=lambda one: f"{one.kind} {one.uuid}")
def test_its_own_goes_to_the_others(seen: Observation, limited: Log, engine: Engine) -> None:
    assert {one.region for one in limited.say(seen)} == {"r1", "r3"}
    assert rows(engine, conflict) == []


@pytest.mark.parametrize("seen", NOT_ITS_OWN, ids=lambda one: f"{one.kind} {one.uuid}")
def test_what_is_not_its_own_goes_nowhere_but_back(seen: Observation, limited: Log, engine: Engine) -> None:
    known = {one["uuid"] for one in rows(engine, entity)}
    sent = limited.say(seen)
    assert {one.region for one in sent} == ({"r2"} if seen.uuid in known else set())
    assert {one["uuid"] for one in rows(engine, entity)} == known
    assert all(limited.record(uuid).life.present for uuid in known)
    (line,) = rows(engine, conflict)
    assert (line["entity"], line["lost_region"]) == (seen.uuid, "r2")
    assert line["reason"].startswith("r2 is not a source for ")
    assert rows(engine, decision)[-1]["outcome"] == Outcome.VIOLATION


@pytest.mark.parametrize("seen", [*ITS_OWN, *NOT_ITS_OWN], ids=lambda one: f"{one.kind} {one.uuid}")
def test_a_mirror_says_nothing(seen: Observation, limited: Log) -> None:
    assert {one.region for one in limited.say(replace(seen, region="r3"))} <= {"r3"}


def test_a_kind_is_not_another(engine: Engine) -> None:
    log = later(engine, {"r2": USERS})
    assert log.say(account("r2", "acc", parent="acme", founder="amy")) == []
    assert {one.uuid for one in log.say(user("r2", "bob", parent="a"))} == {"bob"}
    assert {one["reason"] for one in rows(engine, conflict)} == {
        "r2 is not a source for Accounts in /acme (Account acc)"
    }


def test_what_is_removed_without_right_gets_another_uuid_there(limited: Log, engine: Engine) -> None:
    (again,) = limited.say(gone("r2", Kind.USER, "oda"))
    assert (again.region, again.known) == ("r2", None)
    held = row(engine, rmap, source="oda", region_id="r2")
    assert (held["uuid"], held["confirmed"], held["removed"]) == (minted("r2", "oda"), None, None)
    assert limited.say(gone("r2", Kind.USER, "oda")) == [], "word of the UUID that it had"
    limited.applied(replace(again, uuid=held["uuid"]))
    assert limited.record("oda").region("r2").confirmed is not None
    assert limited.say(gone("r2", Kind.USER, held["uuid"]))[0].region == "r2"


def test_what_went_with_it_is_looked_for(limited: Log) -> None:
    assert limited.hinted(limited.seen(gone("r2", Kind.DOMAIN, "other"))) == {
        topics.events("r2"): {(Kind.ACCOUNT, "o")}
    }


def test_a_batch_that_is_taken_again_is_written_down_once(limited: Log, engine: Engine) -> None:
    seen = [
        limited.seen(one) for one in (domain("r2", "new"), changed(user("r2", "oda", parent="o"), email="x"))
    ]
    limited.merge(seen)
    before = rows(engine, conflict), rows(engine, entity), rows(engine, rmap)
    assert limited.merge(seen)[0] == []
    assert (rows(engine, conflict), rows(engine, entity), rows(engine, rmap)) == before
    assert len(before[0]) == 2


def test_who_answers_to_each_correction_is_corrected_seldom(limited: Log, engine: Engine) -> None:
    """Another program that puts its value back at once must not keep both of them busy for ever."""
    evil = changed(user("r2", "oda", parent="o"), email="evil")
    at_once = 0
    for _ in range(CORRECTIONS_AT_ONCE + 3):
        sent = limited.say(evil)
        at_once += len(sent)
        limited.applied(*limited.record_sent("oda", "r2"))
    assert at_once == CORRECTIONS_AT_ONCE
    late = [one for one in rows(engine, outbox) if one["entity"] == "oda"][CORRECTIONS_AT_ONCE + 2 :]
    assert len(late) == 3
    assert {(one["state"], one["due_time"]) for one in late} == {("pending", NOW + CORRECTION_DELAY_MS)}
    assert len(rows(engine, conflict)) == 1
    sent = limited.say(changed(user("r1", "oda", parent="o"), email="new"))
    assert {one.region for one in sent} == {"r2", "r3"}, "what others say is not put off"
    limited.applied(*sent)
    limited.store._clock = Clock(NOW + 3_600_001)
    worse = changed(user("r2", "oda", parent="o"), email="worse")
    assert [one.region for one in limited.say(worse)] == ["r2"], "an hour later at once again"


def test_what_it_makes_alike_is_one_with_the_known_one_and_gets_its_values(engine: Engine) -> None:
    limited = later(engine, {"r2": ()})
    limited.say(domain("r1", "d", "shop"))
    seen = changed(domain("r2", "theirs", "shop"), networkdomain="theirs.example")
    assert limited.say(seen) == [], "the known one is on its way there"
    sent = limited.say(replace(seen, applied=1, unseen=("networkdomain",)))
    assert [(one.region, one.uuid, (one.fields or {})["networkdomain"]) for one in sent] == [("r2", "d", "")]
    assert limited.store.canonical([("r2", "theirs")]) == {("r2", "theirs"): "d"}
    assert rows(engine, conflict)[0]["reason"] == "r2 is not a source for /shop"


def test_a_root_administrator_is_not_linked_by_its_name(log: Log) -> None:
    log.say(account("r1", "acc", "ops"))
    theirs = replace(account("r2", "theirs", "ops"), root_admin=True)
    assert log.outcome(theirs) is Outcome.NOTHING_NEW
    assert log.store.canonical([("r2", "theirs")]) == {}


def test_a_root_administrator_that_was_taken_over_once_is_left_as_it_is(log: Log, engine: Engine) -> None:
    """By the version before this rule."""
    log.applied(*log.say(account("r1", "acc", "ops"), user("r1", "amy")))
    stored = log.store.load(["acc"])["acc"]
    value = replace(stored.record.fields["role"], text="Root Admin")
    record = replace(stored.record, fields={**stored.record.fields, "role": value})
    log.store.commit([Change(record, stored.revision)], NOW)
    admin = {"role": "Root Admin"}
    for seen in (
        changed(account("r1", "acc", "ops"), state="disabled", **admin),
        replace(changed(user("r1", "amy"), email="x"), root_admin=True),
        gone("r1", Kind.ACCOUNT, "acc"),
    ):
        assert log.outcome(seen) is Outcome.NOTHING_NEW
    assert rows(engine, conflict) == []


def put_off(early: Early, log: Log, seen: Observation) -> list[tuple[Kind, str]]:
    """What is asked for, where it is put off."""
    left, messages = early.put_off([log.seen(seen)])
    assert (left == []) is (messages != [])
    events = [parse_event(one.value) for one in messages]
    assert all(event.type == SCAN for event in events)
    return [(event.kind, event.uuid or "") for event in events]


def test_what_is_in_something_that_nobody_knows_yet_is_put_off(limited: Log) -> None:
    """Its domain may be its own: the order of two entities' messages is nobody's promise."""
    early = Early(limited.store, limited.merger.limited)
    seen = account("r2", "b", parent="sub")
    assert put_off(early, limited, seen) == [(Kind.DOMAIN, "sub"), (Kind.ACCOUNT, "b")]
    assert put_off(early, limited, replace(seen, region="r1")) == [], "not of one that may say everything"
    assert put_off(early, limited, replace(seen, applied=3)) == [], "what a worker has done is settled"
    limited.say(domain("r2", "sub", parent="acme"))
    assert put_off(early, limited, seen) == []
    assert {one.uuid for one in limited.say(seen)} == {"b"}


@pytest.mark.parametrize(("refused", "tries"), [(False, TRIES), (True, TRIES_IN_UNBORN)])
def test_it_is_put_off_so_often_and_no_more(refused: bool, tries: int, limited: Log) -> None:
    early = Early(limited.store, limited.merger.limited)
    if refused:
        limited.say(domain("r2", "theirs"))
    seen = account("r2", "b", parent="theirs")
    assert [put_off(early, limited, seen) != [] for _ in range(tries + 1)] == [True] * tries + [False]
    limited.say(seen)
    assert limited.store.unborn([("b", "r2"), ("b", "r1"), (ROOT, "r2")]) == {("b", "r2")}
