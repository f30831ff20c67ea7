"""Carries out one fault, and mends it after its time.

In: a planned fault. Out: nothing; when it returns, what it hurt runs again. Faults at different things
overlap, two at the same thing follow each other. Called by the chaos run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.faults import schedule
from tests.faults.schedule import Planned
from tests.faults.stage import Stage, started
from tests.services import process


class Injector:
    """`done` counts by label."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: Counter[str] = Counter()

    async def inject(self, fault: Planned) -> None:
        """From its beginning to its end."""
        async with contextlib.AsyncExitStack() as held:
            for name in fault.targets:  # sorted: two faults at several things never wait for each other
                await held.enter_async_context(self._locks[name])
            self.done[fault.label] += 1
            if fault.network is not None:
                await self._network(fault)
            elif fault.kind == schedule.FREEZE:
                await self._freeze(fault)
            elif fault.kind in (schedule.JOIN, schedule.LEAVE):
                await self._rebalance(fault)
            else:
                await self._kill(fault)

    async def _network(self, fault: Planned) -> None:
        link = self._stage.network.links[fault.targets[0]]
        assert fault.network is not None
        await asyncio.to_thread(link.fail, fault.network)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(link.heal)

    async def _freeze(self, fault: Planned) -> None:
        name = fault.targets[0]
        service = self._stage.services.get(name)
        if service is None:
            with self._stage.processes.frozen(name):
                await asyncio.sleep(fault.lasts_s)
            return
        pids = process.marked(service.folder)
        _signal(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            _signal(pids, signal.SIGCONT)

    async def _rebalance(self, fault: Planned) -> None:
        """A worker joins and leaves again, or leaves and joins again: twice the partitions change hands."""
        processes, name = self._stage.processes, fault.targets[0]
        if fault.kind == schedule.LEAVE:
            await processes.leave(name)
            await asyncio.sleep(fault.lasts_s)
            processes.start(name)
            return
        processes.start(name)
        await asyncio.sleep(schedule.SESSION_S + fault.lasts_s)
        await processes.leave(name)

    async def _kill(self, fault: Planned) -> None:
        """All at the same moment, as far as one machine can."""
        services = [self._stage.services[name] for name in fault.targets if name in self._stage.services]
        names = [name for name in fault.targets if name not in self._stage.services]
        killing = [asyncio.to_thread(one.kill) for one in services]
        await asyncio.gather(asyncio.to_thread(self._stage.processes.kill, names), *killing)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.gather(*(asyncio.to_thread(started, one) for one in services))
        for name in names:
            self._stage.processes.start(name)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
