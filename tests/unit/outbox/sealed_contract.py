"""What `sealed` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import API_KEY, LOGIN, Kind
from pipeline.core.keys import fingerprint
from pipeline.core.records import Record, RegionState
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.retention import Ages, Retention
from pipeline.outbox.schema import outbox, sealed
from pipeline.outbox.sealed import ASKED_AT_ONCE, SealedStore
from tests.unit.outbox.builders import NOW, Clock, at, desired, record, rows

KEY, OTHER = fingerprint("a"), fingerprint("b")
DAY_MS = 86_400_000


def user(number: int = 1, **keys: str) -> Record:
    """Regions → the fingerprint that each of them holds."""
    one = record(Kind.USER, f"u{number}", f"n{number}", "a1")
    held = one.desired() or {}
    return replace(one, regions={name: RegionState(held | {API_KEY: key}) for name, key in keys.items()})


def keep(engine: Engine, *users: Record) -> None:
    hub = HubStore(engine, Clock())
    for one in users:
        hub.commit([Change(one, None, (desired(one, "r2", 1),))], NOW)
        for region in one.regions:
            stored = hub.load([one.uuid])[one.uuid]
            mapping = at(one, region, f"{one.uuid}-{region}")
            hub.commit([Change(stored.record, stored.revision, mapping=mapping)], NOW)


def store(engine: Engine, region: str, now: int = NOW) -> SealedStore:
    return SealedStore(engine, region, Clock(now))


class SealedContract:
    def test_who_holds_the_keys_hears_the_question_and_answers_once(self, engine: Engine) -> None:
        keep(engine, user(r1=KEY, r2="", r3=OTHER))
        asking = store(engine, "r2")
        assert asking.find("u1", API_KEY) is None
        asking.ask("u1", API_KEY, KEY)
        found = asking.find("u1", API_KEY)
        assert found is not None and (found.fingerprint, found.asked_time, found.text) == (KEY, NOW, None)

        assert store(engine, "r2").asked(0) == ([], 0), "one's own question"
        assert store(engine, "r3").asked(0) == ([], 0), "r3 holds other keys"
        assert store(engine, "r4").asked(0) == ([], 0), "r4 has no such user"
        (question,), after = store(engine, "r1").asked(0)
        assert (question.local, question.region, question.fingerprint, after) == ("u1-r1", "r2", KEY, 0)

        store(engine, "r1").answer(question, "closed")
        store(engine, "r3").answer(question, "too late")
        found = asking.find("u1", API_KEY)
        assert found is not None and (found.sender, found.text) == ("r1", "closed")
        assert store(engine, "r1").asked(0) == ([], 0)
        asking.forget("u1", API_KEY)
        asking.forget("u1", API_KEY)
        assert asking.find("u1", API_KEY) is None and rows(engine, sealed) == []

    def test_an_answer_wakes_what_waits_for_it(self, engine: Engine) -> None:
        keep(engine, user(1, r1=KEY, r2=""), user(2, r1=KEY, r2=""))
        with engine.begin() as connection:
            connection.execute(outbox.update().values(state="pending", due_time=NOW + 50_000))
        store(engine, "r2").ask("u1", API_KEY, KEY)
        (question,), _ = store(engine, "r1").asked(0)
        store(engine, "r1").answer(question, "closed")
        due = {row["entity"]: row["due_time"] for row in rows(engine, outbox)}
        assert due == {"u1": NOW, "u2": NOW + 50_000}

    def test_a_newer_question_takes_the_place_of_an_older_one(self, engine: Engine) -> None:
        keep(engine, user(r1=KEY, r2=""))
        store(engine, "r2").ask("u1", API_KEY, KEY)
        (question,), _ = store(engine, "r1").asked(0)
        store(engine, "r2", NOW + 5).ask("u1", API_KEY, OTHER, 3)
        store(engine, "r1").answer(question, "for the older one")
        found = store(engine, "r2").find("u1", API_KEY)
        assert found is not None
        assert (found.fingerprint, found.text, found.tries, found.asked_time) == (OTHER, None, 3, NOW + 5)
        assert store(engine, "r1").asked(0) == ([], 0), "r1 does not hold those"

    @pytest.mark.statements
    def test_the_login_of_a_user_is_a_question_of_its_own(self, engine: Engine) -> None:
        keep(engine, user(r1=KEY, r2=""))
        asking = store(engine, "r2")
        asking.ask("u1", API_KEY, KEY)
        asking.ask("u1", LOGIN, KEY)
        (question,), _ = store(engine, "r1").asked(0)
        assert question.field == API_KEY, "r1 tells of no login"
        store(engine, "r1").answer(question, "closed")
        found, other = asking.find("u1", API_KEY), asking.find("u1", LOGIN)
        assert found is not None and other is not None
        assert (found.text, other.text) == ("closed", None)
        asking.forget("u1", API_KEY)
        assert asking.find("u1", LOGIN) == other

    def test_questions_that_nobody_here_can_answer_keep_no_other_waiting(self, engine: Engine) -> None:
        for number in range(ASKED_AT_ONCE + 5):
            store(engine, "r2").ask(f"x{number}", API_KEY, KEY)
        keep(engine, user(r1=KEY, r2=""))
        store(engine, "r2").ask("u1", API_KEY, KEY)
        none, after = store(engine, "r1").asked(0)
        (question,), end = store(engine, "r1").asked(after)
        assert (none, question.entity, end) == ([], "u1", 0)

    def test_what_nobody_came_for_goes_by_its_age(self, engine: Engine) -> None:
        store(engine, "r2", NOW - 40 * DAY_MS).ask("u1", API_KEY, KEY)
        store(engine, "r2").ask("u2", API_KEY, KEY)
        purged = Retention(engine, Ages(30 * DAY_MS, 365 * DAY_MS)).purge("sealed", NOW)
        assert purged.rows == 1
        assert [row["entity"] for row in rows(engine, sealed)] == ["u2"]
