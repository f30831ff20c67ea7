"""Changes in a closed loop: so many under way, each followed until every region holds it.

In: simulated regions. Out: how long each change took from its call to the last region, and how many there
were. The rate finds itself: while the machine is quick more may be under way, until `hold` is called.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.sandbox.launch import SimulatedRegion
from tests.e2e.harness import Person

FIRST: Final = 8
MOST: Final = 96
STEP: Final = 8
EVERY_S: Final = 3.0
QUICK_S: Final = 1.0
"""While half of the changes arrive within this, more may be under way."""
LIMIT_S: Final = 240.0
"""A change that has not arrived by then is lost."""
CHURN: Final = 0.2
"""The share of changes that make a user, or remove it again."""
ACCOUNTS: Final = 8

Condition = Callable[[SimulatedRegion], bool]


class Arrivals:
    """Tells when all regions hold something, by the events that they raise."""

    def __init__(self, regions: Sequence[SimulatedRegion]) -> None:
        self._regions = regions
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        for region in regions:
            region.region.log.listeners.append(self._told)

    def _told(self, key: str, _body: str) -> None:
        for event in self._waiting.get(key.rpartition(".")[2], ()):
            event.set()

    async def everywhere(self, uuid: str, condition: Condition) -> None:
        """Until the condition is true in all regions; it is looked at when one tells of `uuid`."""
        moved = asyncio.Event()
        self._waiting[uuid].add(moved)
        try:
            async with asyncio.timeout(LIMIT_S):
                while not all(condition(region) for region in self._regions):
                    await moved.wait()
                    moved.clear()
        except TimeoutError:
            missing = [region.name for region in self._regions if not condition(region)]
            raise AssertionError(f"{uuid}: not within {LIMIT_S:.0f} s in {missing}") from None
        finally:
            self._waiting[uuid].discard(moved)
            if not self._waiting[uuid]:
                del self._waiting[uuid]


class Load:
    """People at work. `lasted_s`: of every change since the last `forget`."""

    def __init__(self, regions: Sequence[SimulatedRegion], people: Sequence[Person], seed: int = 6) -> None:
        self._regions = regions
        self._people = people
        self._arrivals = Arrivals(regions)
        self._chance = random.Random(seed)
        self._serial = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._held = False
        self._users: dict[str, dict[str, object]] = {region.name: {} for region in regions}
        self._homes: list[tuple[str, str]] = []
        self.lasted_s: list[float] = []

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    async def begin(self) -> None:
        """Accounts that everybody works in; then the first changes."""
        person = self._people[0]
        domain = await person.domain("soak")
        for number in range(ACCOUNTS):
            name = f"team{number}"
            account = await person.account(name, domain)
            self._homes.append((name, domain))
            await self._arrivals.everywhere(account, lambda region, a=account: _holds_account(region, a))
        for _ in range(FIRST):
            self._add()

    def hold(self) -> None:
        """From now on the number under way stays."""
        self._held = True

    def forget(self) -> None:
        self.lasted_s = []

    async def run(self, seconds: float) -> None:
        """Works for so long; raises what ended a change."""
        until, look = time.monotonic() + seconds, 0
        while (left := until - time.monotonic()) > 0:
            done, _ = await asyncio.wait(
                self._tasks, timeout=min(EVERY_S, left), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            new, look = self.lasted_s[look:], len(self.lasted_s)
            quick = bool(new) and statistics.median(new) < QUICK_S
            if quick and not self._held and self.under_way < MOST:
                for _ in range(STEP):
                    self._add()

    async def end(self) -> None:
        """What is under way arrives; nothing new begins."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def _add(self) -> None:
        self._tasks.append(asyncio.create_task(self._work(len(self._tasks))))

    async def _work(self, number: int) -> None:
        name, domain = self._homes[number % len(self._homes)]
        own = await self._create(name, domain)
        while not self._stopping:
            if self._chance.random() < CHURN:
                other = await self._timed(self._create(name, domain))
                await self._timed(self._remove(other))
            else:
                await self._timed(self._update(own))

    async def _timed(self, change: object) -> str:
        began = time.perf_counter()
        found = await change  # type: ignore[misc]
        self.lasted_s.append(time.perf_counter() - began)
        return str(found)

    async def _create(self, account: str, domain: str) -> str:
        uuid = await self._anybody().user(f"u{next(self._serial)}", account, domain)
        await self._arrivals.everywhere(uuid, lambda region: self._user(region, uuid) is not None)
        return uuid

    async def _update(self, uuid: str) -> str:
        email = f"e{next(self._serial)}@example.org"
        await self._anybody().call("updateUser", id=uuid, email=email)
        await self._arrivals.everywhere(
            uuid, lambda region: getattr(self._user(region, uuid), "email", "") == email
        )
        return uuid

    async def _remove(self, uuid: str) -> str:
        await self._anybody().call("deleteUser", id=uuid)
        await self._arrivals.everywhere(uuid, lambda region: not self._is_alive(region, uuid))
        for known in self._users.values():
            known.pop(uuid, None)
        return uuid

    def _anybody(self) -> Person:
        return self._chance.choice(self._people)

    def _user(self, region: SimulatedRegion, uuid: str) -> object:
        """The simulated region's own object, found once."""
        known = self._users[region.name]
        if uuid not in known:
            live = reversed(region.region.world.live_users.values())
            found = next((user for user in live if user.uuid == uuid), None)
            if found is None:
                return None
            known[uuid] = found
        return known[uuid]

    def _is_alive(self, region: SimulatedRegion, uuid: str) -> bool:
        user = self._user(region, uuid)
        return user is not None and getattr(user, "id", None) in region.region.world.live_users


def _holds_account(region: SimulatedRegion, uuid: str) -> bool:
    return any(one.uuid == uuid for one in region.region.world.accounts.values())
