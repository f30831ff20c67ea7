"""Asks every neighbour at the same time, each within a limit.

In: settings. Out: findings in a fixed order: the settings, Kafka, the database, then region by region. Called
by `region-sync check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

from pipeline.check import bus, database, kafka, region
from pipeline.check.finding import LIMIT_S, Finding, Subject
from pipeline.settings import Region, Settings

Probe = Callable[[], Awaitable[list[Finding]]]

_HERE = ("localhost", "127.0.0.1", "::1")


async def examine(settings: Settings) -> list[Finding]:
    """Everything that was found. Raises nothing: what a probe could not do is a finding."""
    probes: list[tuple[Subject, Probe]] = [
        (Subject("", "kafka"), lambda: kafka.examine(settings)),
        (Subject("", "database"), lambda: database.examine(settings)),
    ]
    for one in settings.active:
        probes.append((Subject(one.name, "api"), lambda one=one: region.examine(one)))  # type: ignore[misc]
        if one.bus.source == "amqp":
            probes.append((Subject(one.name, "bus"), lambda one=one: bus.examine(one)))  # type: ignore[misc]
    found = await asyncio.gather(*(_within_limit(subject, probe) for subject, probe in probes))
    return [*of_settings(settings), *(finding for findings in found for finding in findings)]


def of_settings(settings: Settings) -> Iterator[Finding]:
    """What can be said without asking anybody."""
    subject = Subject("", "settings")
    names = ", ".join(one.name for one in settings.active)
    yield subject.ok(f"topology {settings.topology}, active regions: {names or 'none'}")
    if len(settings.active) < 2:
        yield subject.warn("fewer than two regions are active: there is nothing to keep the same")
    if settings.plain_secrets:
        keys = ", ".join(settings.plain_secrets)
        yield subject.warn(f"secrets stand in the file, write ${{NAME}} or file:/path instead: {keys}")
    for one in settings.active:
        if _in_the_clear(one):
            yield Subject(one.name, "settings").warn(
                "host is http: keys and changes cross the network unprotected"
            )


def _in_the_clear(one: Region) -> bool:
    url = urlsplit(one.host)
    return url.scheme == "http" and url.hostname not in _HERE


async def _within_limit(subject: Subject, probe: Probe) -> list[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await probe()
    except TimeoutError:
        return [subject.fail(f"no answer within {LIMIT_S:g} s")]
    except Exception as error:  # noqa: BLE001 - the finding tells it, the other probes go on
        return [subject.fail(f"{type(error).__name__}: {error}")]
