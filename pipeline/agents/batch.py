"""Gathers what many lanes ask of the database into few transactions.

In: single requests. Out: each request's own answer. While one batch is under way in a thread, and for a
moment after it, the next one gathers; a request alone waits for nobody. Unbatched writes are tens of times
slower (DESIGN, "Tables").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

PAUSE_S: Final = 0.03
"""At least this long from one batch to the next: a transaction costs much the same for one row and ten."""

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Batcher(Generic[Request, Answer]):
    """`flush` answers a list of requests in their order; it runs in a thread, never two at a time."""

    def __init__(self, flush: Callable[[Sequence[Request]], Sequence[Answer]], size: int = 200) -> None:
        self._flush = flush
        self._size = size
        self._queue: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task[None] | None = None
        self._ended = 0.0

    async def ask(self, request: Request) -> Answer:
        """The answer, or the error of the batch that the request went with."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((request, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            await asyncio.sleep(max(0.0, self._ended + PAUSE_S - loop.time()))
            batch, self._queue = self._queue[: self._size], self._queue[self._size :]
            requests = [request for request, _ in batch]
            try:
                answers = await asyncio.to_thread(self._flush, requests)
                self._ended = loop.time()
            except Exception as error:  # noqa: BLE001 - handed to those who asked, whose guard judges it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
