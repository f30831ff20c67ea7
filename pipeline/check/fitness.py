"""What a region's version and configuration mean for its joining.

In: what the region tells of itself, and its settings. Out: findings. `read` asks, everything else is pure.
Only reads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.check.finding import Finding, Subject
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.eventlog import HORIZON_DAYS
from pipeline.core.errors import PermanentError
from pipeline.settings import Region

THROTTLED: Final = "api.throttling.enabled"
THROTTLED_MOST: Final = "api.throttling.max"
THROTTLED_FOR: Final = "api.throttling.interval"
HORIZON: Final = "event.purge.delay"
TOLD: Final = "publish.action.events"
BY_POST: Final = "enforce.post.requests.and.timestamps"

NAMES: Final = (THROTTLED, THROTTLED_MOST, THROTTLED_FOR, HORIZON, TOLD, BY_POST)
"""The configuration that is asked for (recordings read.listConfigurations.*)."""

DEFAULT_MOST: Final = 25
DEFAULT_FOR_S: Final = 1
"""What throttles where the region tells no numbers (source: ApiRateLimitService)."""

SHORT_DAYS: Final = 3
"""A weekend: an outage that nobody looks at for so long must be within the log."""

_Version = tuple[int, int]

LACKING: Final[tuple[tuple[_Version, str], ...]] = (
    ((4, 11), "a user cannot be moved (moveUser came with 4.11)"),
    ((4, 17), "its event log does not tell whom an event is about (resourceid came with 4.17)"),
    ((4, 19), "a domain cannot be moved (moveDomain came with 4.19)"),
)
"""What the pipeline relies on and older versions have not (`since` in recording listApis)."""

MEASURED: Final[_Version] = (4, 20)
"""The first version whose event bus is set up as in the recorded one, 4.22 (cloudstack.md, "The bus")."""

_VERSION: Final = re.compile(r"(\d{1,6})\.(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Told:
    """What a region tells of itself: `version` is empty and names are missing where it does not."""

    version: str = ""
    configuration: Mapping[str, str] = field(default_factory=dict)

    def whole(self, name: str, default: int) -> int:
        """A number of the configuration; `default` where there is none."""
        value = self.configuration.get(name, "")
        return int(value) if value.isdecimal() else default

    def on(self, name: str) -> bool | None:
        """A switch of the configuration; None where the region does not tell."""
        value = self.configuration.get(name)
        return None if value is None else value.casefold() == "true"


async def examine(region: Region, client: CloudStack) -> list[Finding]:
    """Raises the errors of errors.py that may pass."""
    return list(judge(region, await read(client)))


async def read(client: CloudStack) -> Told:
    """What listCapabilities and listConfigurations tell. The recorded region refuses the first (recording
    read.listCapabilities): then its management server tells the version, and the configuration the rest."""
    capability = (await _answer(client, "listCapabilities", {})).get("capability") or {}
    version = str(capability.get("cloudstackversion") or "")
    if not version:
        servers = (await _answer(client, "listManagementServers", {})).get("managementserver") or [{}]
        version = str(servers[0].get("version") or "")
    values = await asyncio.gather(*(_value(client, name) for name in NAMES))
    found = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
    limits = ((THROTTLED_MOST, "apilimitmax"), (THROTTLED_FOR, "apilimitinterval"))
    found |= {name: str(capability[key]) for name, key in limits if key in capability}
    return Told(version, found)


def judge(region: Region, told: Told) -> Iterator[Finding]:
    """All that follows from it."""
    yield _version(Subject(region.name, "version"), told.version)
    yield _throttling(Subject(region.name, "throttling"), told, region.rate_per_s)
    yield _horizon(Subject(region.name, "horizon"), told)
    if told.on(BY_POST) and not region.post:
        yield Subject(region.name, "requests").fail(
            f"{BY_POST} is true, and post: false in the settings: every change would be refused"
        )
    if region.bus.source == "amqp" and told.on(TOLD) is False:
        yield Subject(region.name, "bus").fail(
            f"{TOLD} is false: the bus tells nothing; set it to true, or bus.source to eventlog"
        )


def _version(subject: Subject, text: str) -> Finding:
    parts = _VERSION.match(text)
    if parts is None:
        told = f"a version that cannot be read ({text[:40]!r})" if text else "no version"
        return subject.warn(f"the region tells {told}: 4.19 at least is needed")
    version = int(parts[1]), int(parts[2])
    lacking = [words for since, words in LACKING if version < since]
    if lacking:
        return subject.fail(f"CloudStack {text} is too old: {'; '.join(lacking)}")
    if version < MEASURED:
        return subject.warn(
            f"CloudStack {text}: its event bus is set up in another way than in 4.22, which was measured"
        )
    return subject.ok(f"CloudStack {text}")


def _throttling(subject: Subject, told: Told, rate_per_s: float | None) -> Finding:
    """No failure: a 429 is waited for, and CloudStack leaves root administrators out (source:
    ApiRateLimitServiceImpl.checkAccess). But each is a call that was made for nothing."""
    if not told.on(THROTTLED):
        return subject.ok("off")
    most = told.whole(THROTTLED_MOST, DEFAULT_MOST)
    for_s = max(told.whole(THROTTLED_FOR, DEFAULT_FOR_S), 1)
    allowed = most / for_s
    words = f"on: {most} calls in {for_s} s for each account that is no root administrator's"
    if rate_per_s is None:
        return subject.warn(f"{words}; rate_per_s sets no limit: set it to {allowed:g} or less to be sure")
    if rate_per_s > allowed:
        return subject.warn(
            f"{words}; rate_per_s is {rate_per_s:g}: set it to {allowed:g} or less to be sure"
        )
    return subject.ok(f"{words}; rate_per_s is {rate_per_s:g}")


def _horizon(subject: Subject, told: Told) -> Finding:
    if not told.configuration.get(HORIZON, "").isdecimal():
        return subject.warn(f"the region does not tell {HORIZON}: {HORIZON_DAYS} days are taken")
    days = told.whole(HORIZON, HORIZON_DAYS)
    if not days:
        return subject.ok("the event log is kept for ever")
    if days < SHORT_DAYS:
        return subject.warn(
            f"the event log is kept {days} {'day' if days == 1 else 'days'}: what is removed in a longer "
            f"outage is taken for lost and made again; set {HORIZON} to {HORIZON_DAYS}"
        )
    return subject.ok(f"the event log is kept {days} days: so long an outage is made up for")


async def _value(client: CloudStack, name: str) -> str | None:
    rows = (await _answer(client, "listConfigurations", {"name": name})).get("configuration") or []
    values = [row.get("value") for row in rows if row.get("name") == name]
    return None if not values or values[0] is None else str(values[0])


async def _answer(client: CloudStack, command: str, params: Mapping[str, str]) -> dict[str, Any]:
    """Empty where the region refuses: what it does not tell is judged as such."""
    try:
        return await client.call(command, params)
    except PermanentError:
        return {}
