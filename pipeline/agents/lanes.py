"""Works on many keys at a time and on each key by one lane at a time.

In: items, each with its key. Out: calls of the work function with a key and all its waiting items, in order
of arrival. The queue holds keys, not items: what waits for one key is handed over together, so that ten hints
cost one read and only the newest of ten desired states is applied. Several `Lanes` may share their `Locks`:
each has lanes and room of its own, and still no key is worked on by two at a time. Used by the region worker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")


class AnyLanes(Protocol):
    """What is looked at of a worker's lanes from outside."""

    @property
    def count(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class Locks:
    """The keys that are at work. Who waits for one is told when it is free. Not thread-safe."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._wanted: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._told: list[Callable[[str], None]] = []

    def __contains__(self, key: str) -> bool:
        return key in self._busy

    def tell(self, freed: Callable[[str], None]) -> None:
        """Calls `freed` with each key that is free again."""
        self._told.append(freed)

    def take(self, key: str) -> None:
        """To be asked before whether it is free."""
        self._busy.add(key)

    def release(self, key: str) -> None:
        self._busy.discard(key)
        for freed in self._wanted.pop(key, ()):
            if not freed.done():
                freed.set_result(None)
        for told in self._told:
            told(key)

    @asynccontextmanager
    async def exclusive(self, key: str) -> AsyncIterator[None]:
        """For a lane that must touch a second entity: no lane works on `key` inside. Only from child to
        parent (user to account), so two lanes never wait for each other."""
        while key in self._busy:
            freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wanted[key].append(freed)
            await freed
        self.take(key)
        try:
            yield
        finally:
            self.release(key)


class Lanes(Generic[Item]):
    """`count` lanes over a bounded number of waiting items (`room`). `locks`: those of other lanes too."""

    def __init__(
        self,
        count: int,
        room: int,
        work: Callable[[str, list[Item]], Awaitable[None]],
        locks: Locks | None = None,
    ) -> None:
        self._count = count
        self._room = asyncio.Semaphore(room)
        self._work = work
        self._waiting: dict[str, list[Item]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._locks = Locks() if locks is None else locks
        self._locks.tell(self._freed)
        self._at_work = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def count(self) -> int:
        """How many keys may be at work."""
        return self._count

    @property
    def waiting(self) -> int:
        """Items handed in and not taken up by a lane yet."""
        return sum(map(len, self._waiting.values()))

    @property
    def busy(self) -> int:
        """Keys at work in these lanes."""
        return self._at_work

    @property
    def full(self) -> bool:
        return self._room.locked()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._lane(), name=f"lane-{n}") for n in range(self._count)]

    async def run(self) -> None:
        """Until a lane fails; raises its error. The work function is expected never to fail."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Ends every lane where it is; what was not finished is read again by whoever comes next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def put(self, key: str, item: Item) -> None:
        """Waits while there is no room: the consumer stops fetching, Kafka keeps the rest."""
        await self._room.acquire()
        self._waiting.setdefault(key, []).append(item)
        if len(self._waiting[key]) == 1 and key not in self._locks:
            self._ready.put_nowait(key)

    def discard(self, unwanted: Callable[[Item], bool]) -> None:
        """Drops waiting items, of partitions that were given away."""
        for key in list(self._waiting):
            kept = [item for item in self._waiting[key] if not unwanted(item)]
            self._make_room(len(self._waiting[key]) - len(kept))
            if kept:
                self._waiting[key] = kept
            else:
                del self._waiting[key]

    def exclusive(self, key: str) -> AbstractAsyncContextManager[None]:
        """See `Locks`."""
        return self._locks.exclusive(key)

    async def _lane(self) -> None:
        while True:
            key = await self._ready.get()
            items = self._waiting.pop(key, None) if key not in self._locks else None
            if items is None:
                continue
            self._make_room(len(items))
            self._locks.take(key)
            self._at_work += 1
            try:
                await self._work(key, items)
            finally:
                self._at_work -= 1
                self._locks.release(key)

    def _freed(self, key: str) -> None:
        if key in self._waiting:
            self._ready.put_nowait(key)

    def _make_room(self, count: int) -> None:
        for _ in range(count):
            self._room.release()
