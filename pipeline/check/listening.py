"""Listens on a region's bus for a while, by a queue of its own that goes with the connection.

In: a region with an AMQP bus. Out: the bodies of new domains' events as they come. The bridge's queue is not
touched: it would lose what is taken here. Called by the self-test.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from pipeline.check.bus import address, words
from pipeline.check.finding import CONNECT_S, blocking
from pipeline.settings import Region

CREATED: Final = "*.ActionEvent.DOMAIN-CREATE.Domain.*"
"""As the bridge binds, and narrower (cloudstack.md, "The bus")."""

WAITING_MAX: Final = 1000
"""Events kept for us; of more the oldest go, in the broker and here."""

_TICK_S: Final = 0.1


class Deaf(Exception):
    """The bus can't be listened to; the text says why."""


class Heard:
    """What has come so far. Of one event loop; `put` and `lose` are called inside it."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[bytes | Deaf] = asyncio.Queue(WAITING_MAX)
        self.deaf: Deaf | None = None

    def put(self, item: bytes | Deaf) -> None:
        if self._items.full():
            self._items.get_nowait()
        self._items.put_nowait(item)

    def lose(self, deaf: Deaf) -> None:
        """Nothing more will come."""
        self.deaf = deaf
        self.put(deaf)

    async def next(self) -> bytes:
        """The next body. Raises `Deaf` when the connection is lost."""
        item = await self._items.get()
        if isinstance(item, Deaf):
            raise item
        return item


@asynccontextmanager
async def listening(region: Region) -> AsyncIterator[Heard]:
    """From when the block begins on, nothing is missed. Raises `Deaf` when it can't even begin."""
    loop = asyncio.get_running_loop()
    heard, begun, enough = Heard(), asyncio.Event(), threading.Event()

    def tell(back: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(back)

    def work() -> None:
        try:
            _listen(region, lambda: tell(begun.set), lambda body: tell(lambda: heard.put(body)), enough)
        except Exception as error:  # noqa: BLE001 - whatever pika says is what is to be told
            deaf = Deaf(getattr(error, "reply_text", "") or words(error))
            tell(lambda: heard.lose(deaf))
            tell(begun.set)

    ended = asyncio.ensure_future(blocking(work))
    try:
        await begun.wait()
        if heard.deaf is not None:
            raise heard.deaf
        yield heard
    finally:
        enough.set()
        await asyncio.wait({ended}, timeout=CONNECT_S)


def _listen(
    region: Region, begun: Callable[[], None], take: Callable[[bytes], None], enough: threading.Event
) -> None:
    """In a thread, since pika blocks. Until it is enough, or the connection is lost."""
    connection = BlockingConnection(address(region))
    try:
        channel = connection.channel()
        queue = _bound(channel, region.bus.exchange)
        begun()
        for _method, _properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=_TICK_S):
            if body is not None:
                take(body)
            if enough.is_set():
                return
    finally:
        if connection.is_open:
            connection.close()


def _bound(channel: BlockingChannel, exchange: str) -> str:
    limit = {"x-max-length": WAITING_MAX}
    made = channel.queue_declare("", exclusive=True, auto_delete=True, arguments=limit)
    queue: str = made.method.queue
    channel.queue_bind(queue, exchange, CREATED)
    return queue
