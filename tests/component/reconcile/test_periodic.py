"""A worker scans by itself, an interval after the last one began."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.core.errors import TemporaryError
from pipeline.outbox.scans import DONE
from pipeline.outbox.schema import scan
from pipeline.reconcile.periodic import scan_periodically
from tests.component.agents.embedded import until
from tests.component.reconcile.net import Net
from tests.unit.outbox.builders import rows

INTERVAL_MS = 3_600_000


async def test_scans_when_they_are_due(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reconcile.periodic.LOOK_EVERY_S", 0.01)
    looked = 0

    def clock() -> int:
        nonlocal looked
        looked += 1
        return net.rig.clock()

    def states() -> list[str]:
        return [row["state"] for row in rows(net.rig.engine, scan)]

    running = asyncio.create_task(scan_periodically(net.scanner(), net.store, INTERVAL_MS, clock))
    try:
        await until(lambda: looked > 3, "it looks whether one is due")
        assert states() == [], "the first one is due an interval after the first start"
        net.rig.clock.now += INTERVAL_MS
        await until(lambda: states() == [DONE], "the first one")
        before = looked
        await until(lambda: looked > before + 3, "it looks on")
        assert states() == [DONE]
        net.rig.clock.now += INTERVAL_MS
        await until(lambda: states() == [DONE, DONE], "the second one")
    finally:
        running.cancel()


async def test_one_that_fails_goes_on_later(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.reconcile.periodic.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("pipeline.reconcile.scan.TRIES", 1)
    failures = 0
    page = net.rig.desk.resources.page

    async def away(*which: object) -> object:
        nonlocal failures
        failures += 1
        if failures <= 3:
            raise TemporaryError("the region is away")
        return await page(*which)  # type: ignore[arg-type]

    monkeypatch.setattr(net.rig.desk.resources, "page", away)
    net.store.due(INTERVAL_MS)
    net.rig.clock.now += INTERVAL_MS
    running = asyncio.create_task(scan_periodically(net.scanner(), net.store, INTERVAL_MS, net.rig.clock))
    try:
        await until(lambda: [one["state"] for one in rows(net.rig.engine, scan)] == [DONE], "it ends well")
    finally:
        running.cancel()
