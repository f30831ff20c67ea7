"""A consumer that stopped is told on the page of regions: of the answering process, and of region workers."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from pipeline.agents.guard import Guard
from pipeline.agents.lanes import Lanes
from pipeline.agents.letters import Letters
from pipeline.agents.pulse import Heart, Reached
from pipeline.core import topics
from pipeline.outbox.pulses import PulseStore
from pipeline.views.access import Access
from pipeline.views.sources import Sources
from tests.component.agents.rig import Topics
from tests.unit.outbox.builders import NOW, Clock
from tests.unit.views.conftest import opened
from tests.unit.views.world import furnish


async def stopped(topic: str) -> Letters:
    """One letter was one too many."""
    letters = Letters(topic, Topics(), 1, lambda: 0.0)  # type: ignore[arg-type]
    assert letters.stopped is None
    await letters.bury(b"k", b"poison", "it is poison \ud800")
    return letters


async def test_a_stop_is_told_on_the_first_page(sources: Sources, engine: Engine) -> None:
    furnish(engine)
    hub = await stopped(topics.OBSERVATIONS)
    events = await stopped(topics.events("r1"))

    async def nothing(_key: str, _items: list[int]) -> None:
        return

    lanes: Lanes[int] = Lanes(1, 1, nothing)
    heart = Heart("r1", Reached(Clock()), lanes, Guard(), (at_ease(), events))
    told = heart.pulse(NOW)
    assert told.reason == events.stopped
    PulseStore(engine).keep(told)
    async for site in opened(replace(sources, stopped=lambda: [str(hub.stopped)]), Access(None, "127.0.0.1")):
        page = await site.page("/")
        assert f"<li>{hub.stopped}</li>" in page
        assert f"<li>{events.stopped}</li>" in page
        found = await site.json("/regions")
        assert found["stopped"] == [hub.stopped]
        [card] = [one for one in found["regions"] if one["region"] == "r1"]
        assert card["workers"]["stopped"] == events.stopped
        assert events.stopped in card["troubles"]


def at_ease() -> Letters:
    """Of a topic from which everything is taken."""
    return Letters(topics.desired("r1"), Topics(), 1, lambda: 0.0)  # type: ignore[arg-type]
