"""What lies on the topics: refused in one way, or sound enough for the merge, the store and the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import wire
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger
from pipeline.agents.publish import Publisher
from pipeline.core import topics
from pipeline.core.entities import FIELDS, ROOT, Kind
from pipeline.core.records import Desired, Founder, Observation, Topology
from pipeline.core.soundness import TEXT_MAX, TIME_MAX, TIME_MIN, UUID_MAX, VERSION_MAX, flaw
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.hub import HubStore
from tests.component.agents.rig import Topics
from tests.unit.hostile.junk import BOMBS, CALM, JSON, TEXT, bounded, dumped, within
from tests.unit.hostile.mutating import damaged
from tests.unit.outbox.builders import NOW, Clock

REGIONS = ("r1", "r2", "r3")
READERS: tuple[Callable[[bytes], object], ...] = (
    wire.observation,
    wire.desired,
    wire.record,
    wire.told,
    lambda data: wire.fields(data.decode("utf-8", "replace")),
    lambda data: wire.region_state(data, "r1"),
)
MEMORY_MAX_MIB = 400


def fields(kind: Kind, **changed: str) -> dict[str, str]:
    return {name: f"a {name}" for name in FIELDS[kind]} | {"parent": "p"} | changed


SEEN = Observation("r1", Kind.USER, "u", fields(Kind.USER), NOW, "USER.UPDATE")
WANTED = Desired("r1", Kind.USER, "u", 3, fields(Kind.USER), fields(Kind.USER), NOW)
FOUNDED = Observation(
    "r1", Kind.ACCOUNT, "a", fields(Kind.ACCOUNT), NOW, "x", 3, Founder("u", fields(Kind.USER)), True, NOW
)
CORPUS = [wire.encode(one) for one in (SEEN, WANTED, FOUNDED)]


def read(data: bytes) -> None:
    for reader in READERS:
        try:
            found = reader(data)
        except wire.Unreadable:
            continue
        if isinstance(found, Observation | Desired):
            flaw(found)


@pytest.mark.parametrize("rounds", [2_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_damaged_messages_are_read_or_refused(rounds: int) -> None:
    for data in damaged(CORPUS, seed=6, rounds=rounds):
        read(data)


@CALM
@given(st.dictionaries(st.sampled_from(["v", "body", "x"]), JSON))
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    read(dumped({"v": 1} | value))


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_within_bounds(bomb: str) -> None:
    bare = BOMBS[bomb]
    with bounded(MEMORY_MAX_MIB):
        read(bare)
        for outer in (b'{"v":1,"body":?}', b'{"v":1,"body":{"x":?}}', b'{"v":1,"x":?,"body":{}}'):
            read(within(outer, bare))


UNSOUND: dict[str, Observation | Desired] = {
    "no region": Observation("", Kind.USER, "u", None, NOW),
    "a long region": Observation("r" * 65, Kind.USER, "u", None, NOW),
    "no uuid": Observation("r1", Kind.USER, "", None, NOW),
    "a long uuid": Observation("r1", Kind.USER, "u" * (UUID_MAX + 1), None, NOW),
    "a NUL in the uuid": Observation("r1", Kind.USER, "u\0", None, NOW),
    "the root domain": Observation("r1", Kind.DOMAIN, ROOT, None, NOW),
    "no fields": Observation("r1", Kind.USER, "u", {}, NOW),
    "a field too few": Observation("r1", Kind.USER, "u", {"parent": "p", "name": "n"}, NOW),
    "a field too many": Observation("r1", Kind.USER, "u", fields(Kind.USER, odd="x"), NOW),
    "another kind's fields": Observation("r1", Kind.USER, "u", fields(Kind.DOMAIN), NOW),
    "a long value": Observation("r1", Kind.USER, "u", fields(Kind.USER, name="x" * (TEXT_MAX + 1)), NOW),
    "a NUL in a value": Observation("r1", Kind.USER, "u", fields(Kind.USER, email="a\0b"), NOW),
    "no parent": Observation("r1", Kind.USER, "u", fields(Kind.USER, parent=""), NOW),
    "itself as parent": Observation("r1", Kind.DOMAIN, "d", fields(Kind.DOMAIN, parent="d"), NOW),
    "a time before all calendars": Observation("r1", Kind.USER, "u", None, TIME_MIN - 1),
    "a time after all": Observation("r1", Kind.USER, "u", None, TIME_MAX + 1),
    "a creation after all": Observation("r1", Kind.USER, "u", None, NOW, created=10**30),
    "no version": Observation("r1", Kind.USER, "u", None, NOW, applied=-1),
    "a long cause": Observation("r1", Kind.USER, "u", None, NOW, "x" * 301),
    "a founder without fields": Observation(
        "r1", Kind.ACCOUNT, "a", fields(Kind.ACCOUNT), NOW, founder=Founder("u", {})
    ),
    "a version beyond": Desired("r1", Kind.USER, "u", VERSION_MAX + 1, None, None),
    "what is known is none": Desired("r1", Kind.USER, "u", 1, None, {"name": "n"}),
    "a change after all": Desired("r1", Kind.USER, "u", 1, None, None, TIME_MAX + 1),
}


@pytest.mark.parametrize("what", UNSOUND)
def test_what_makes_no_sense_is_told(what: str) -> None:
    said = flaw(UNSOUND[what])
    assert said is not None and len(said) < 200


@pytest.mark.parametrize("sound", [SEEN, WANTED, FOUNDED, Observation("r1", Kind.USER, "u", None, NOW)])
def test_what_makes_sense_has_no_flaw(sound: Observation | Desired) -> None:
    assert flaw(sound) is None


UUIDS = st.sampled_from(["u1", "u2", "u3", "x" * UUID_MAX, "ü" * UUID_MAX, "' OR 1=1 --", "%", "u1 "])
WORDS = (
    st.sampled_from(["", "a", "A", "x" * TEXT_MAX, "ẞ" * 300, "\u202e", "😀" * 100, "enabled", "ROOT"]) | TEXT
)
TIMES = st.sampled_from([TIME_MIN, 0, NOW, TIME_MAX])


@st.composite
def sound(draw: st.DrawFn) -> Observation:
    """Whatever has no flaw: kinds that contradict each other, rings of parents, times from end to end."""
    kind = draw(st.sampled_from(Kind))
    held = {name: draw(WORDS) for name in FIELDS[kind]} | {"parent": draw(UUIDS | st.just(ROOT))}
    founder = Founder(draw(UUIDS), fields(Kind.USER)) if draw(st.booleans()) else None
    return Observation(
        draw(st.sampled_from(REGIONS)),
        kind,
        draw(UUIDS),
        draw(st.none() | st.just(held)),
        draw(TIMES),
        draw(WORDS)[:300],
        draw(st.none() | st.sampled_from([0, 1, VERSION_MAX])),
        founder if kind is Kind.ACCOUNT else None,
        draw(st.booleans()),
        draw(st.none() | TIMES),
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{Path(tmp_path_factory.mktemp('hostile')) / 'hub.db'}"
    migrate(url)
    return url


@settings(CALM, max_examples=60)
@given(st.lists(sound().filter(lambda one: flaw(one) is None), min_size=1, max_size=8))
def test_whatever_is_sound_is_merged(database: str, seen: list[Observation]) -> None:
    """One that fails in a batch would stop all regions: nothing but the declared errors may come up."""
    engine = open_database(database)
    try:
        store = HubStore(engine, Clock())
        kafka = Topics()
        place = Place("epoch", Clock(), frozenset(REGIONS))
        hub = Hub(store, Merger(store, Topology(REGIONS)), cast(Publisher, kafka), place)
        acknowledged: list[int] = []

        async def through() -> None:
            running = asyncio.create_task(hub.run(10))
            for number, one in enumerate(seen):
                await hub.take(taken(wire.encode(one), number, acknowledged.append))
            async with asyncio.timeout(60):
                while len(acknowledged) < len(seen) and not running.done():
                    await asyncio.sleep(0.005)
            if running.done():
                running.result()
            running.cancel()

        asyncio.run(through())
        assert acknowledged == list(range(len(seen)))
        assert not [one for one in kafka.messages if one.topic == topics.DEAD_LETTERS]
        for message in kafka.messages:
            if message.topic.startswith((topics.desired(""), topics.revoke(""))):
                assert flaw(wire.desired(message.value)) is None
    finally:
        engine.dispose()


def taken(value: bytes, number: int, acknowledge: Callable[[int], object]) -> Taken:
    """Offsets begin anew in each example, and so does the log."""
    offset = next(OFFSETS)
    return Taken((topics.OBSERVATIONS, 0), offset, b"k", value, {}, lambda: acknowledge(number))


OFFSETS = iter(range(10**9))
