"""Whether a region may join: all that `check` asks of it, and what must be so before its first change.

In: settings, the region (active or not), the database. Out: findings. Nothing is written, but for the
self-test's domain, which is removed again. Called by `region-sync join`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from pipeline.check import bus, fitness, roles, selftest
from pipeline.check import region as api
from pipeline.check.everything import of_limits, of_region, within_limit
from pipeline.check.finding import Finding, Subject, Verdict
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.outbox.engine import Engine
from pipeline.reach import client_settings
from pipeline.settings import Region, Settings

SELF_TEST_LIMIT_S: Final = 300.0
"""Each of its waits has a limit of its own; this one is for what nobody thought of."""

NEEDED: Final = frozenset({"api", "permissions", "bus"})
"""Where one of these fails, no domain is made to see whether its event comes."""


async def examine_joining(
    settings: Settings, region: Region, engine: Engine, self_test: bool
) -> list[Finding]:
    """Everything that was found. Raises nothing but cancellation: what could not be asked is a finding."""
    findings = list(of_settings(settings, region))
    findings += await within_limit(
        Subject(region.name, "api"), lambda: api.examine(region, roles=settings.roles)
    )
    if _failed(findings, frozenset({"api"})):
        return findings
    if region.bus.source == "amqp":
        findings += await within_limit(Subject(region.name, "bus"), lambda: bus.examine(region))
    async with _way_to(region) as resources:
        findings += await _fitness(region, resources.client, engine, synced=settings.roles)
        if self_test:
            findings += await _self_test(region, resources, findings)
    return findings


def of_settings(settings: Settings, region: Region) -> Iterator[Finding]:
    """What can be said without asking anybody."""
    subject = Subject(region.name, "settings")
    others = ", ".join(one.name for one in settings.active if one.name != region.name)
    if not others:
        yield subject.warn("no other region is active: there is nothing to join")
    elif region.active:
        yield subject.warn(f"active already, beside {others}: its worker carries out changes as they come")
    else:
        yield subject.ok(f"not active yet; would join {others}")
    yield from of_region(region)
    there = [one for one in settings.active if one.name != region.name]
    yield from of_limits(subject, [*there, region])


async def _fitness(region: Region, client: CloudStack, engine: Engine, *, synced: bool) -> list[Finding]:
    subject = Subject(region.name, "roles")
    found = await asyncio.gather(
        within_limit(Subject(region.name, "version"), lambda: fitness.examine(region, client)),
        within_limit(subject, lambda: roles.examine(subject, client, engine, synced=synced)),
    )
    return [one for findings in found for one in findings]


async def _self_test(region: Region, resources: Resources, before: list[Finding]) -> list[Finding]:
    subject = Subject(region.name, "self-test")
    if _failed(before, NEEDED):
        return [subject.warn("not made, since something before it failed")]

    async def probe() -> list[Finding]:
        await resources.start()
        return await selftest.examine(region, resources)

    return await within_limit(subject, probe, SELF_TEST_LIMIT_S)


@asynccontextmanager
async def _way_to(region: Region) -> AsyncIterator[Resources]:
    client = CloudStack(client_settings(region), clock=lambda: time.time_ns() // 1_000_000)
    try:
        yield Resources(client)
    finally:
        await client.aclose()


def _failed(findings: list[Finding], what: frozenset[str]) -> bool:
    return any(one.verdict is Verdict.FAIL and one.what in what for one in findings)
