"""The whole pipeline in one process: what it exposes is what the catalogue says, with few values of labels,
and it is ready while its regions are away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.metrics.bridges import BRIDGES
from pipeline.metrics.catalogue import ALL, SHARED, WORKERS
from pipeline.outbox.proofs import Proof, keep_proofs
from pipeline.run import Running, pipeline
from pipeline.sandbox.launch import SimulatedRegion, now_ms, simulated_regions
from pipeline.settings import Web
from pipeline.staging import sandbox_settings
from tests.component.metrics.asking import Asking, free_port, until
from tests.e2e.harness import people
from tests.unit.test_monitoring import EXPOSED, SUFFIXES

FEW = 12
"""Values of one label, in this small world."""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")


@dataclass
class World:
    regions: tuple[SimulatedRegion, ...]
    running: Running
    asking: Asking


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    port = free_port()
    async with simulated_regions(2, names=("berlin", "tokyo")) as regions:
        settings = sandbox_settings(list(regions), tmp_path)
        settings = settings.model_copy(update={"web": Web(port=port)})
        async with pipeline(settings) as running:
            yield World(tuple(regions), running, Asking(port))


async def test_a_change_shows_in_the_numbers_and_all_of_them_are_the_catalogue_s(world: World) -> None:
    await until(world.asking.is_ready, "ready")
    async with people(world.regions) as (berlin, _):
        domain = await berlin.domain("sales")
        await berlin.account("acc", domain)

    async def arrived() -> bool:
        seen = await world.asking.metrics()
        delivered = seen.total("region_sync_delivery_seconds_count", region="tokyo") >= 3
        # What Kafka says is some seconds old: without this it may be from before there was anything.
        merged = seen.total("region_sync_committed_total", topic="region-sync.observations") >= 3
        return delivered and merged and not seen.total("region_sync_lag_messages")

    await until(arrived, "domain, account and user delivered")
    keep_proofs(world.running.wiring.engine, [Proof(now_ms(), "berlin", "r", 1, 1, 1, True, 0)])

    async def looked() -> bool:
        return "region_sync_verify_differences" in (await world.asking.metrics()).names()

    await until(looked, "the proof is read")
    seen = await world.asking.metrics()
    foreign = {
        (name, label)
        for name, labels in seen.samples
        if name.startswith("region_sync")
        for label, _ in labels
        if name not in EXPOSED or label not in EXPOSED[name]
    }
    assert foreign == set(), "nothing but what is declared"
    quiet = {  # needs something to go wrong, to be taken away, or to be old
        "region_sync_purged_rows_total",
        "region_sync_conflicts_total",
        "region_sync_dead_letters_total",
        "region_sync_removals_total",
        "region_sync_revocation_seconds",
        "region_sync_scan_done_timestamp_seconds",
        "region_sync_scan_found",
        "region_sync_violations_total",
    }
    missing = {one.name for one in ALL if one.name + SUFFIXES[one.kind][0] not in seen.names()}
    assert missing - quiet == set(), "everything that is declared"

    assert seen.value("region_sync_bridge_connected", region="berlin") == 1
    assert seen.value("region_sync_bridge_relayed_total", region="berlin") >= 3
    assert seen.value("region_sync_source_up", source="database") == 1
    assert seen.value("region_sync_source_up", source="kafka") == 1
    assert seen.value("region_sync_committed_total", topic="region-sync.observations") >= 3
    assert seen.value("region_sync_outbox_rows", region="tokyo", state="pending") == 0
    assert seen.total("region_sync_delivery_seconds_sum", region="tokyo") < 60


async def test_labels_have_few_values_and_none_is_an_entity_s(world: World) -> None:
    await until(world.asking.is_ready, "ready")
    async with people(world.regions) as (berlin, tokyo):
        for number in range(FEW + 3):
            await berlin.domain(f"one-{number}")
            await tokyo.domain(f"other-{number}")

    async def arrived() -> bool:
        seen = await world.asking.metrics()
        name = "region_sync_delivery_seconds_count"
        return all(seen.total(name, region=one.name) >= FEW + 3 for one in world.regions)

    await until(arrived, "all delivered")
    seen = await world.asking.metrics()
    values: dict[tuple[str, str], set[str]] = {}
    for name, labels in seen.samples:
        for label, value in labels:
            values.setdefault((name, label), set()).add(value)
            assert not UUID.search(value), (name, label, value)
            assert label == "le" or not re.search(r"one-|other-", value), (name, label, value)
    many = {key: found for key, found in values.items() if len(found) > FEW and key[1] != "le"}
    assert many == {}


async def test_a_region_that_is_away_makes_nothing_unready(world: World) -> None:
    await until(world.asking.is_ready, "ready")
    berlin, tokyo = world.regions
    for fault in (berlin.faults, tokyo.faults):
        fault.drop_before_ratio = 1.0

    async def noticed() -> bool:
        assert await world.asking.is_ready()
        seen = await world.asking.metrics()
        return seen.value("region_sync_bridge_connected", region="berlin") == 0

    await until(noticed, "the bridge has noticed")
    status, checks, reasons = await world.asking.ready()
    assert (status, set(checks.values())) == (200, {True})
    assert set(checks) == {
        "partitions of hub",
        "partitions of berlin",
        "partitions of tokyo",
        "database",
        "kafka",
    }
    assert reasons["partitions of berlin"] == "12 partitions assigned"
    live = await world.asking.get("/health/live")
    assert (live.status_code, live.json()["live"]) == (200, True)


def test_every_metric_belongs_to_one_kind_of_process() -> None:
    assert len({one.name for one in ALL}) == len(WORKERS) + len(SHARED) + len(BRIDGES)
