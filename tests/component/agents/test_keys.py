"""Users' keys between a simulated region's worker and another region that is played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from pipeline.agents.desk import Desk, Watch
from pipeline.agents.keys import WAIT_MOST_MS, Keys
from pipeline.agents.publish import Publisher
from pipeline.agents.region import RegionWorker
from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import API_KEY, Kind
from pipeline.core.keys import KeyPair, KeyPolicy, fingerprint
from pipeline.core.records import Desired, Observation
from pipeline.outbox.schema import sealed
from pipeline.outbox.sealed import SealedStore
from pipeline.sealing import Ring, new_pair
from tests.component.agents.rig import FAR, HERE, Rig
from tests.contract.sandbox.api import Api
from tests.unit.agents.regions import account, domain, user
from tests.unit.outbox.builders import rows

PAIR = KeyPair("far-api-key-1", "Canary/far-secret+1=x")
NEWER = KeyPair("far-api-key-2", "Canary/far-secret+2=x")


@dataclass
class Stage:
    rig: Rig
    pairs: dict[str, tuple[str, str]]

    @property
    def public(self) -> dict[str, str]:
        return {name: public for name, (_, public) in self.pairs.items()}

    def ring(self, region: str) -> Ring:
        return Ring(region, (self.pairs[region][0],), self.public)

    async def take_part(self, ring: Ring | None, policy: KeyPolicy) -> None:
        """A fresh worker under these settings."""
        rig = self.rig
        await rig.end()
        resources = Resources(rig.desk.client, policy)
        await resources.start()
        desk = Desk(resources, rig.desk.store, cast(Publisher, rig.kafka), rig.clock, _watch(rig.desk))
        rig.desk = desk
        store = SealedStore(rig.engine, HERE, rig.clock)
        self.keys = Keys(desk, ring, store)
        rig.begin_with(RegionWorker(desk, 4, keys=self.keys))
        rig.region.calls.clear()

    def far(self) -> SealedStore:
        return SealedStore(self.rig.engine, FAR, self.rig.clock)

    def far_answers(self, pair: KeyPair, ring: Ring | None = None) -> int:
        """The other region's worker does its part; how many questions it found."""
        asked, _ = self.far().asked(0)
        for question in asked:
            self.far().answer(question, (ring or self.ring(FAR)).seal((pair.api_key, pair.secret_key), HERE))
        return len(asked)

    async def family(self) -> None:
        for one in (domain(FAR, "dom"), account(FAR, "acc", parent="dom", founder="ann"), user(FAR, "ann")):
            await self.rig.tell(one)
        await self.rig.learn(Kind.USER, "ann")

    def far_has(self, key: str, time: int) -> Observation:
        seen = user(FAR, "ann")
        return Observation(FAR, Kind.USER, "ann", {**(seen.fields or {}), API_KEY: key}, time)

    async def far_gets(self, pair: KeyPair) -> Desired:
        """Somebody gave the user keys in the other region; the desired state that follows here, given."""
        self.rig.clock.now += 1_000
        (desired,) = self.rig.merge(self.far_has(fingerprint(pair.api_key), self.rig.clock()))
        await self.rig.give(desired)
        return desired

    async def due(self) -> None:
        self.rig.clock.now += 2 * WAIT_MOST_MS
        await self.rig.send_due()

    def held(self) -> tuple[str | None, str | None]:
        world: Any = self.rig.region.region.world
        one = world.users[world.by_uuid["User"]["ann"]]
        return one.apikey, one.secretkey

    def stored(self) -> str:
        """All that the database and the topics hold."""
        with self.rig.engine.connect() as connection:
            dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
        return dump + repr(self.rig.kafka.messages)


def _watch(desk: Desk) -> Watch:
    return Watch(desk.tenure, desk.report, desk.signs)


@pytest.fixture
async def stage(rig: Rig) -> AsyncIterator[Stage]:
    one = Stage(rig, {name: new_pair() for name in (HERE, FAR)})
    await one.take_part(one.ring(HERE), KeyPolicy({"/": True}))
    await one.family()
    yield one


def open_questions(stage: Stage) -> list[tuple[str, str]]:
    return [(row["entity"], row["region"]) for row in rows(stage.rig.engine, sealed)]


async def test_keys_are_asked_for_set_and_forgotten(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    desired = await stage.far_gets(PAIR)
    row = stage.rig.outbox(desired)
    assert (row["state"], row["message"]) == (
        "pending",
        "waits for its keys: asked the regions that hold it",
    )
    assert (stage.held(), open_questions(stage)) == ((None, None), [("ann", HERE)])

    assert stage.far_answers(PAIR) == 1
    kept = stage.stored()
    assert not any(secret in kept for secret in (PAIR.api_key, PAIR.secret_key))
    await stage.rig.send_due()  # at once: the answer woke it
    assert stage.held() == (PAIR.api_key, PAIR.secret_key)
    assert stage.rig.outbox(desired)["state"] == "delivered"
    assert open_questions(stage) == []
    kept = stage.stored() + caplog.text
    assert not any(secret in kept for secret in (PAIR.api_key, PAIR.secret_key))

    (told,) = stage.rig.observed()
    assert (told.fields or {})[API_KEY] == fingerprint(PAIR.api_key)
    assert stage.rig.merge(told) == []


async def test_all_else_does_not_wait_for_keys(stage: Stage) -> None:
    stage.rig.clock.now += 1_000
    seen = stage.far_has(fingerprint(PAIR.api_key), stage.rig.clock())
    changed = Observation(FAR, Kind.USER, "ann", {**(seen.fields or {}), "state": "disabled"}, seen.time)
    (desired,) = stage.rig.merge(changed)
    await stage.rig.give(desired)
    assert await stage.rig.state(Kind.USER, "ann") == "disabled"
    assert stage.rig.outbox(desired)["state"] == "pending"
    (told,) = stage.rig.observed()
    assert (told.fields or {})["state"] == "disabled"
    assert stage.rig.merge(told) == [], "what waits is on its way still"
    stage.far_answers(PAIR)
    await stage.rig.send_due()
    assert stage.held() == (PAIR.api_key, PAIR.secret_key)
    assert await stage.rig.state(Kind.USER, "ann") == "disabled"


async def test_newer_keys_take_the_place_of_those_that_wait(stage: Stage) -> None:
    await stage.far_gets(PAIR)
    newer = await stage.far_gets(NEWER)
    assert stage.far_answers(NEWER) == 1
    await stage.due()
    assert stage.held() == (NEWER.api_key, NEWER.secret_key)
    assert stage.rig.outbox(newer)["state"] == "delivered"
    assert open_questions(stage) == []


@pytest.mark.parametrize("wrong", ["another region's seal", "other keys"])
async def test_what_cant_be_used_is_asked_for_again(stage: Stage, wrong: str) -> None:
    desired = await stage.far_gets(PAIR)
    if wrong == "other keys":
        stage.far_answers(NEWER)
    else:
        stage.far_answers(PAIR, Ring(FAR, (new_pair()[0],), stage.public))
    await stage.due()
    assert stage.held() == (None, None)
    message = stage.rig.outbox(desired)["message"]
    assert "can't be used" in message and "asked again" in message and PAIR.api_key not in message
    (row,) = rows(stage.rig.engine, sealed)
    assert (row["text"], row["tries"]) == (None, 1)
    stage.far_answers(PAIR)
    await stage.due()
    assert stage.held() == (PAIR.api_key, PAIR.secret_key)


async def test_after_a_rotation_what_was_sealed_before_is_opened(stage: Stage) -> None:
    desired = await stage.far_gets(PAIR)
    stage.far_answers(PAIR)
    old, new = stage.pairs[HERE], new_pair()
    await stage.take_part(Ring(HERE, (new[0], old[0]), stage.public | {HERE: new[1]}), KeyPolicy({"/": True}))
    await stage.due()
    assert stage.rig.outbox(desired)["state"] == "delivered"
    assert stage.held() == (PAIR.api_key, PAIR.secret_key)


async def test_this_region_answers_only_what_it_holds(stage: Stage) -> None:
    made = (await Api(stage.rig.region)("registerUserKeys", id="ann")).body["userkeys"]
    await stage.rig.learn(Kind.USER, "ann")
    far = stage.far()
    far.ask("ann", API_KEY, fingerprint(made["apikey"]))
    await stage.keys.answer()
    found = far.find("ann", API_KEY)
    assert found is not None and found.text is not None and found.sender == HERE
    assert [*stage.ring(FAR).open(found.text, HERE)] == [made["apikey"], made["secretkey"]]
    assert made["secretkey"] not in stage.stored() and made["apikey"] not in stage.stored()

    stage.rig.region.calls.clear()
    far.ask("ann", API_KEY, fingerprint("others"))
    await stage.keys.answer()
    found = far.find("ann", API_KEY)
    assert found is not None and found.text is None
    assert stage.rig.region.calls.reads("svc-sync") == 0, "what it does not hold it does not read"


async def test_a_region_without_a_public_key_is_given_none(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    made = (await Api(stage.rig.region)("registerUserKeys", id="ann")).body["userkeys"]
    await stage.rig.learn(Kind.USER, "ann")
    lonely = Ring(HERE, (stage.pairs[HERE][0],), {HERE: stage.public[HERE]})
    await stage.take_part(lonely, KeyPolicy({"/": True}))
    stage.far().ask("ann", API_KEY, fingerprint(made["apikey"]))
    for _ in range(3):
        await stage.keys.answer()
    found = stage.far().find("ann", API_KEY)
    assert found is not None and found.text is None
    assert caplog.text.count("has no sealing_key in the settings here") == 1
    assert stage.rig.region.calls.by_command("svc-sync").get("getUserKeys", 0) == 0


@pytest.mark.parametrize("rules", [{}, {"/": True, "/dom": False}])
async def test_where_the_policy_is_off_nothing_is_told_and_nothing_set(
    stage: Stage, rules: dict[str, bool]
) -> None:
    await stage.take_part(stage.ring(HERE), KeyPolicy(rules))
    await Api(stage.rig.region)("registerUserKeys", id="ann")
    held = stage.held()
    await stage.rig.look(Kind.USER, "ann")
    (told,) = stage.rig.observed()
    assert API_KEY not in (told.fields or {})
    stage.rig.merge(told)
    stage.rig.clock.now += 1_000
    assert stage.rig.merge(stage.far_has(fingerprint(PAIR.api_key), stage.rig.clock())) == []
    await stage.keys.answer()
    assert stage.rig.region.calls.by_command("svc-sync").get("getUserKeys", 0) == 0
    assert (stage.held(), open_questions(stage)) == (held, [])


async def test_a_rule_holds_for_the_domains_below_and_is_looked_up_once(stage: Stage) -> None:
    await stage.take_part(stage.ring(HERE), KeyPolicy({"/": False, "/DOM": True}))
    for _ in range(2):
        await stage.rig.look(Kind.USER, "ann")
        (told,) = stage.rig.observed()
        assert (told.fields or {})[API_KEY] == ""
    assert stage.rig.region.calls.by_command("svc-sync") == {"listUsers": 2, "listDomains": 1}


async def test_a_key_that_is_taken_there_is_told_without_it(stage: Stage) -> None:
    """CloudStack repeats the key in its refusal."""
    made = (await Api(stage.rig.region)("registerUserKeys", id=stage.rig.region.admin.userid)).body[
        "userkeys"
    ]
    pair = KeyPair(made["apikey"], "Canary/secret")
    desired = await stage.far_gets(pair)
    stage.far_answers(pair)
    await stage.rig.send_due()
    row = stage.rig.outbox(desired)
    assert row["state"] == "dead" and "already exists" in row["message"]
    assert made["apikey"] not in stage.stored()
