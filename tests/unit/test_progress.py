"""Who asks a broker how far it is may be closed while a thread still asks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from bridges.kafka import Unread
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.embedded import EmbeddedBroker
from pipeline.progress import Progress

LIMIT_S = 60.0
ROUNDS = 5


def asked_until_refused(ask: Callable[[], object], asking: Event) -> None:
    while ask() is not False:
        asking.set()


def test_it_is_closed_after_the_call_under_way_and_asks_no_more() -> None:
    with EmbeddedBroker() as broker, ThreadPoolExecutor() as pool:
        broker.ensure_topics(["some"])
        for _ in range(ROUNDS):
            progress, asking = Progress(broker.address, {}), Event()
            threads = [
                pool.submit(asked_until_refused, lambda to=progress: to.lag("group", "some"), asking)
                for _ in range(2)
            ]
            assert asking.wait(LIMIT_S)
            progress.close()
            for thread in threads:
                with pytest.raises(TemporaryError, match="nobody asks any more"):
                    thread.result(LIMIT_S)


def test_nobody_is_told_of_room_after_the_end() -> None:
    with EmbeddedBroker() as broker, ThreadPoolExecutor() as pool:
        broker.ensure_topics([topics.events("r1")])
        for _ in range(ROUNDS):
            unread, asking = Unread(broker.address, {}, "r1", 10), Event()
            thread = pool.submit(asked_until_refused, unread.has_room, asking)
            assert asking.wait(LIMIT_S)
            unread.close()
            thread.result(LIMIT_S)
