"""What a worker's process tells about itself, put together: where the numbers come from, what makes it ready.

In: settings, the engine, the brokers. Out: routes on the server of a Faust app. Called by `pipeline.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from pipeline.core import topics
from pipeline.metrics.health import Answers, Health
from pipeline.metrics.instruments import Instruments
from pipeline.metrics.routes import add_routes
from pipeline.metrics.shared import Shared, Stock
from pipeline.outbox.engine import Engine
from pipeline.outbox.measures import answers, looked, measure
from pipeline.progress import Lag, Lags
from pipeline.settings import Settings


class Wires(Protocol):
    """What it shares with the outside (`pipeline.app.Wiring`)."""

    @property
    def brokers(self) -> str: ...
    @property
    def kafka_options(self) -> Mapping[str, str]: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def instruments(self) -> Instruments: ...
    @property
    def health(self) -> Health: ...


class Measuring:
    """One process's. Nothing is connected before somebody asks."""

    def __init__(self, settings: Settings, wires: Wires) -> None:
        self._settings = settings
        self._wires = wires
        self._lags = Lags(wires.brokers, wires.kafka_options, settings.partitions)

    def serve(self, application: web.Application, *, shared: bool) -> None:
        """On this application. `shared`: with the numbers that all processes have in common."""
        wires = self._wires
        application.on_cleanup.append(self._close)
        wires.health.checks["database"] = Answers(lambda: answers(wires.engine)).answer
        wires.health.checks["kafka"] = Answers(lambda: self._lags.answers(topics.OBSERVATIONS)).answer
        if not shared:
            add_routes(application, self._own, wires.health)
            return
        all_of_us = Shared(self._stock, self._left, wires.clock)
        wires.instruments.add(all_of_us)

        async def text() -> bytes:
            await all_of_us.refresh()
            return await self._own()

        add_routes(application, text, wires.health)

    async def _own(self) -> bytes:
        return self._wires.instruments.text()  # in the loop: what is looked at, as lanes, lives there

    def _stock(self) -> Stock:
        regions = self._settings.active
        return Stock(
            measure(self._wires.engine, [region.name for region in regions], self._wires.clock()),
            looked(self._wires.engine),
            {region.name: region.full_scan_interval or 0 for region in regions},
        )

    def _left(self) -> Mapping[str, Lag]:
        consumed: dict[str, Sequence[str]] = {topics.HUB_GROUP: [topics.OBSERVATIONS, topics.DEAD_LETTERS]}
        for region in self._settings.active:
            name = region.name
            consumed[topics.region_group(name)] = topics.of_region(name)
        return self._lags.read(consumed)

    async def _close(self, _application: web.Application) -> None:
        await asyncio.to_thread(self._lags.close)
