"""Asks every neighbour at the same time, each within a limit.

In: settings. Out: findings in a fixed order: the settings, Kafka, the database, then region by region. Called
by `region-sync check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from pipeline import unprotected
from pipeline.check import bus, database, kafka, region, userdb
from pipeline.check.finding import LIMIT_S, Finding, Subject
from pipeline.core.authority import may_say, told
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.settings import Region, Settings

Probe = Callable[[], Awaitable[list[Finding]]]


async def examine(settings: Settings) -> list[Finding]:
    """Everything that was found. Raises nothing: what a probe could not do is a finding."""
    probes: list[tuple[Subject, Probe]] = [
        (Subject("", "kafka"), lambda: kafka.examine(settings)),
        (Subject("", "database"), lambda: database.examine(settings)),
    ]
    for one in settings.active:
        probes.append((Subject(one.name, "api"), lambda one=one: region.examine(one, roles=settings.roles)))  # type: ignore[misc]
        if one.user_database is not None:
            probes.append((Subject(one.name, "user_database"), lambda one=one: userdb.examine(one)))  # type: ignore[misc]
        if one.bus.source == "amqp":
            probes.append((Subject(one.name, "bus"), lambda one=one: bus.examine(one)))  # type: ignore[misc]
    found = await asyncio.gather(*(within_limit(subject, probe) for subject, probe in probes))
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
    for words in unprotected.of_all(settings):
        yield subject.warn(words)
    for one in settings.active:
        yield from of_region(one)
    for rule in settings.credentials:
        keys = "API keys" if rule.api_keys else "no API keys"
        yield subject.ok(f"credentials of users in {rule.domain}: {keys}, passwords: {rule.passwords}")
    yield from of_authority(settings)
    yield from of_limits(subject, settings.active)


def of_limits(subject: Subject, regions: Sequence[Region]) -> Iterator[Finding]:
    """Between which of these regions limits are carried, and whether there is anywhere to carry them to."""
    telling = [one.name for one in regions if one.limits]
    if len(telling) == 1 and len(regions) > 1:
        yield subject.warn(f"limits are on in {telling[0]} alone: they are carried nowhere")
    elif telling:
        yield subject.ok(f"limits are carried between {', '.join(telling)}")


def of_authority(settings: Settings) -> Iterator[Finding]:
    """What each limited region is the source of, and whether there is a source for everything."""
    limited = [one for one in settings.active if one.sources is not None]
    for one in limited:
        yield Subject(one.name, "settings").ok(f"is a source for {told(one.sources)}")
    if limited and not any(all(may_say(one.sources, kind, None) for kind in Kind) for one in settings.active):
        yield Subject("", "settings").warn(
            "no region is a source for everything: what is outside of what they are named for can be changed "
            "nowhere"
        )


def of_region(region: Region) -> Iterator[Finding]:
    """The same of one region's part."""
    for words in unprotected.of_region(region):
        yield Subject(region.name, "settings").warn(words)


async def within_limit(subject: Subject, probe: Probe, limit_s: float | None = None) -> list[Finding]:
    """What `probe` found. Raises nothing: that it took longer than the limit, or what it raised, is a
    finding."""
    longest_s = limit_s or LIMIT_S
    try:
        async with asyncio.timeout(longest_s):
            return await probe()
    except TimeoutError:
        return [subject.fail(f"no answer within {longest_s:g} s")]
    except (TemporaryError, PermanentError) as error:
        return [subject.fail(str(error))]
    except Exception as error:  # noqa: BLE001 - the finding tells it, the other probes go on
        return [subject.fail(f"{type(error).__name__}: {error}")]
