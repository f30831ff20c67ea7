"""Whether what happens in a region is heard: makes a domain, waits for its event, and removes it again.

In: a region, and the way to it. Out: findings. The one check that writes to a region. What it makes is called
so that nobody spreads it (`core.makeshift`), is made by our own user, and is removed whatever happens; what
a killed run left is removed by the next. Called for `region-sync join`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pipeline.check.finding import Finding, Subject
from pipeline.check.listening import Deaf, Heard, listening
from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import ROOT, Kind, Snapshot
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.events import Event, Unreadable, parse_event
from pipeline.core.makeshift import PROBE, is_probe
from pipeline.settings import Region

EVENT_LIMIT_S: Final = 15.0
"""Events come within milliseconds; under an alarm of the broker, 41 s late (cloudstack.md, "The bus"): that
too must be looked into before a region joins."""
GONE_LIMIT_S: Final = 60.0
"""How long the removal of one domain may take, with all it needs to be tried again."""
LEFT_MAX: Final = 100
"""Probes of earlier runs that one run removes."""
AGAIN_S: Final = 0.25

_CREATED: Final = "DOMAIN.CREATE"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """A domain under ROOT, and when its call began (monotonic)."""

    name: str
    uuid: str
    began: float

    @property
    def ms(self) -> int:
        """How long ago that was."""
        return round((time.monotonic() - self.began) * 1000)


Hear = Callable[[Probe], Awaitable[Finding]]
"""Waits for a probe's event, within the limit."""


async def examine(region: Region, resources: Resources) -> list[Finding]:
    """Raises `TemporaryError`, `PermanentError` when the region can't be asked what earlier runs left."""
    subject = Subject(region.name, "self-test")
    left = await _sweep(subject, resources)
    if region.bus.source == "eventlog":
        return [*left, *await _try_out(subject, resources, _in_the_log(subject, resources))]
    try:
        async with listening(region) as heard:
            return [*left, *await _try_out(subject, resources, _on_the_bus(subject, resources, heard))]
    except Deaf as error:
        return [*left, subject.fail(f"the bus can't be listened to: {error}")]


async def _try_out(subject: Subject, resources: Resources, hear: Hear) -> list[Finding]:
    """One probe's life. A cancellation waits for its end."""
    probe = Probe(f"{PROBE}{secrets.token_hex(4)}", str(uuid.uuid4()), time.monotonic())
    params = {"name": probe.name, "domainid": probe.uuid, "parentdomainid": resources.root}
    making = asyncio.ensure_future(resources.client.call("createDomain", params))
    findings = []
    try:
        await asyncio.shield(making)
        findings.append(await hear(probe))
    except (TemporaryError, PermanentError) as error:
        findings.append(subject.fail(f"no domain could be made to see whether its event comes: {error}"))
    finally:
        findings += await _taken_away(subject, resources, probe, making)
    return findings


async def _taken_away(
    subject: Subject, resources: Resources, probe: Probe, making: asyncio.Future[dict[str, Any]]
) -> list[Finding]:
    """Nothing is found where it is gone. A call that was cut off may yet make the domain: its end is waited
    for, which the client bounds."""
    await asyncio.wait({making})
    if isinstance(making.exception(), PermanentError):
        return []
    try:
        await _remove(resources, probe.uuid)
    except (TemporaryError, PermanentError) as error:
        words = f"domain {probe.name} under ROOT is not removed, the next run tries again: {error}"
        log.warning("%s: %s", subject.region, words)
        return [subject.fail(words)]
    return []


async def _remove(resources: Resources, domain: str) -> None:
    """Until it is gone. Without `cleanup`, so that CloudStack itself refuses to remove one with anything in
    it. Raises `PermanentError` for its refusal, `TemporaryError` when it takes too long."""
    last: Exception | None = None
    try:
        async with asyncio.timeout(GONE_LIMIT_S):
            while True:
                try:
                    if await _is_gone(resources, domain):
                        return
                except TemporaryError as error:
                    last = error
                await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        raise TemporaryError(f"still there after {GONE_LIMIT_S:g} s{f': {last}' if last else ''}") from last


async def _is_gone(resources: Resources, domain: str) -> bool:
    """After one try to remove it. A refusal counts only while the domain is there: another run may have been
    quicker, and a call that was cut off may never have made it."""
    refusal: PermanentError | None = None
    try:
        await resources.client.call("deleteDomain", {"id": domain})
    except PermanentError as error:
        refusal = error
    if not (await resources.read(Kind.DOMAIN, domain)).present:
        return True
    if refusal is not None:
        raise refusal
    return False


async def _sweep(subject: Subject, resources: Resources) -> list[Finding]:
    """Removes what killed runs left. The event log must say that we made it: it forgets after a while, and
    then a person has to look."""
    left: list[Snapshot] = []
    async for page in resources.subdomains(ROOT):
        left += [seen for seen in page if is_probe(seen)]
    return [await _swept(subject, resources, one) for one in left[:LEFT_MAX]]


async def _swept(subject: Subject, resources: Resources, left: Snapshot) -> Finding:
    name = "" if left.fields is None else left.fields["name"]
    try:
        if not (await resources.history(Kind.DOMAIN, left.uuid)).made_by_us:
            return subject.warn(
                f"domain {name} stays: the event log does not say that an earlier run made it"
            )
        await _remove(resources, left.uuid)
    except (TemporaryError, PermanentError) as error:
        return subject.warn(f"domain {name} of an earlier run is not removed: {error}")
    return subject.ok(f"domain {name} of an earlier run is removed")


def _on_the_bus(subject: Subject, resources: Resources, heard: Heard) -> Hear:
    async def hear(probe: Probe) -> Finding:
        try:
            async with asyncio.timeout(EVENT_LIMIT_S):
                event = await _creation(heard, probe)
        except TimeoutError:
            return subject.fail(await _silence(resources, probe))
        except Deaf as error:
            return subject.fail(f"the connection to the bus was lost before the event came: {error}")
        if event.actor != resources.own_user:
            return subject.fail(
                f"the bus told of a new domain after {probe.ms} ms, but not that our user made it: "
                "our own changes would come back to us"
            )
        return subject.ok(f"the bus told of a new domain {probe.ms} ms after the call began")

    return hear


async def _creation(heard: Heard, probe: Probe) -> Event:
    while True:
        try:
            event = parse_event(await heard.next())
        except Unreadable:
            continue
        if (event.type, event.uuid, event.completed) == (_CREATED, probe.uuid, True):
            return event


async def _silence(resources: Resources, probe: Probe) -> str:
    """Connected proves nothing: the event log tells whether there was anything to be told (cloudstack.md,
    "The bus")."""
    words = f"the bus is connected and told nothing of a new domain within {EVENT_LIMIT_S:g} s"
    try:
        logged = (await resources.history(Kind.DOMAIN, probe.uuid)).made_by_us
    except (TemporaryError, PermanentError) as error:
        return f"{words} (the event log can't be asked: {error})"
    if not logged:
        return f"{words}, nor did the event log"
    return (
        f"{words}, though the event log has it: since 4.20 the bean of CloudStack's event bus must lie under "
        "META-INF/cloudstack/event; or it publishes to another exchange"
    )


def _in_the_log(subject: Subject, resources: Resources) -> Hear:
    async def hear(probe: Probe) -> Finding:
        try:
            async with asyncio.timeout(EVENT_LIMIT_S):
                await _logged(resources, probe)
        except TimeoutError:
            return subject.fail(f"the event log told nothing of a new domain within {EVENT_LIMIT_S:g} s")
        return subject.ok(f"the event log told of a new domain {probe.ms} ms after the call began")

    return hear


async def _logged(resources: Resources, probe: Probe) -> None:
    while True:
        try:
            if (await resources.history(Kind.DOMAIN, probe.uuid)).made_by_us:
                return
        except TemporaryError as error:
            log.info("the event log does not answer: %s", error)
        await asyncio.sleep(AGAIN_S)
