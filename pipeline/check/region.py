"""A region's API: does the log-in work, may we do all that we must, what does its clock say?

In: a region with its log-in. Out: findings. Only reads.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from pipeline.check.finding import Finding, Subject
from pipeline.cloudstack.client import PAGE, CloudStack
from pipeline.cloudstack.commands import ALL, ROLES
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.resources import Resources
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.reach import client_settings
from pipeline.settings import Region

SKEW_WARN_MS: Final = 30_000
"""Stamps of concurrent changes are compared across regions: more than this and the wrong one may win."""


async def examine(region: Region, *, roles: bool = False) -> list[Finding]:
    """The log-in first; without it nothing else can be asked. `roles`: whether they are synced."""
    client = CloudStack(client_settings(region), clock=lambda: time.time_ns() // 1_000_000)
    try:
        resources = Resources(client)
        subject = Subject(region.name, "api")
        try:
            await resources.start()
        except (TemporaryError, PermanentError) as error:
            return [subject.fail(_refusal(region, client, error))]
        who = f"{resources.own_user_name} of account {resources.own_account_name}"
        findings = [subject.ok(f"{region.endpoint}: logged in as {who}")]
        findings.append(_clock(region, client))
        permissions = partial(_permissions, needed=[name for name in ALL if roles or name not in ROLES])
        for what, probe in (("permissions", permissions), ("pages", _pages), ("event log", _event_log)):
            findings.append(await _asked(Subject(region.name, what), client, probe))
        return findings
    finally:
        await client.aclose()


async def _asked(
    subject: Subject, client: CloudStack, probe: Callable[[Subject, CloudStack], Awaitable[Finding]]
) -> Finding:
    try:
        return await probe(subject, client)
    except (TemporaryError, PermanentError) as error:
        return subject.fail(str(error))


async def _permissions(subject: Subject, client: CloudStack, *, needed: Sequence[str]) -> Finding:
    answer = await client.call("listApis", {})
    allowed = {str(api.get("name")) for api in answer.get("api") or []}
    lacking = [name for name in needed if name not in allowed]
    if lacking:
        return subject.fail(f"the role does not allow {', '.join(lacking)}")
    return subject.ok(f"all {len(needed)} commands are allowed")


async def _pages(subject: Subject, client: CloudStack) -> Finding:
    try:
        _, count = await client.page("listUsers", {"listall": "true"}, "user", (1, PAGE))
    except PermanentError as error:
        return subject.fail(f"pages of {PAGE} are refused, see default.page.size: {error}")
    return subject.ok(f"pages of {PAGE} are given, {count} users in all")


async def _event_log(subject: Subject, client: CloudStack) -> Finding:
    rows, count = await client.page("listEvents", {"listall": "true"}, "event", (1, 1))
    if not rows:
        return subject.warn("is empty: what a bus loses could not be found there")
    return subject.ok(f"{count} events")


def _clock(region: Region, client: CloudStack) -> Finding:
    subject = Subject(region.name, "clock")
    skew = client.skew_ms
    if skew is None:
        return subject.warn("the region's answers carry no Date: its clock cannot be compared")
    if abs(skew) > SKEW_WARN_MS:
        return subject.warn(f"{_apart(skew)}: set both by NTP, or the wrong change may win a conflict")
    return subject.ok(f"less than {abs(skew) // 1000 + 1} s apart")


def _refusal(region: Region, client: CloudStack, error: Exception) -> str:
    """A signature that has expired is refused in the same words as a wrong key: the clock tells them
    apart."""
    words = f"{region.endpoint}: {error}"
    skew = client.skew_ms
    if isinstance(error, Unauthorised) and skew is not None and abs(skew) > SKEW_WARN_MS:
        return f"{words} (its clock is {_apart(skew)}: signatures expire)"
    return words


def _apart(skew_ms: int) -> str:
    return f"{abs(skew_ms) / 1000:.0f} s {'ahead' if skew_ms > 0 else 'behind'}"
