"""Answers a hint: reads the entity that it names and publishes what is there.

In: events of one entity that waited, oldest first. Out: one observation, from one read (from none, where a
scan's list has shown already that nothing is there), or hints for everything that an event may have meant
whose UUID can't be trusted. Called by the region worker's lanes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from pipeline.agents.desk import Desk, Sighting
from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import ROOT, Kind, Snapshot, alike
from pipeline.core.errors import PermanentError
from pipeline.core.events import ABSENT, HINT, LIMIT_CHANGED, OWN, ROLES, SCAN, UNPROMPTED, Event

DOMAIN_MOVED: Final = "DOMAIN.MOVE"
USER_MOVED: Final = "USER.MOVE"
MOVED: Final = frozenset({DOMAIN_MOVED, USER_MOVED})
SWEPT: Final = MOVED | {ROLES}
"""Events whose UUID is not the moved entity's: DOMAIN.MOVE names the new parent, USER.MOVE a row that is gone
(recordings domain.move, user.move)."""

ACCOUNT_TOO: Final = frozenset({"USER.ENABLE", "USER.LOCK"})
"""Enabling a user enables its account, locking the last enabled one locks it, and no event tells of that
(CloudStack's AccountManagerImpl)."""

ROLE_CREATED: Final = "ROLE.CREATE"

HINTED_AT_ONCE: Final = 500

log = logging.getLogger(__name__)


class Observer:
    """Reads one region."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def is_echo(self, event: Event) -> bool:
        """Caused by this system's own write: its answer was published already (the bus names the caller by
        UUID, the event log by name)."""
        resources = self._desk.resources
        if event.actor:
            return event.actor == resources.own_user
        return (event.actor_name, event.actor_account) == (
            resources.own_user_name,
            resources.own_account_name,
        )

    async def observe(self, events: Sequence[Event]) -> None:
        """One read answers all of them. Raises `TemporaryError` when the region can't be read now."""
        events = [event for event in events if event.kind in self._desk.resources.kinds]
        for event in events:
            if event.type in MOVED:
                await self._sweep(event)
        await self._look_at_roles(events)
        plain = [event for event in events if event.type not in SWEPT]
        if plain and plain[-1].uuid is not None and not await self._told_absent(plain):
            newest = max(plain, key=lambda event: event.time)
            snapshot = await self._desk.resources.read(newest.kind, plain[-1].uuid)
            # A limit that is told for the first time counts if somebody has set one (`core.first`).
            limited = any(event.type == LIMIT_CHANGED for event in plain)
            sighting: Sighting | None = Sighting(newest.time, LIMIT_CHANGED if limited else newest.type)
            if _of_scan(plain) or not (snapshot.present or _tells_of_removals(plain)):
                sighting = await by_the_log(self._desk.resources, snapshot, newest.time)
            if sighting is None:
                return
            if snapshot.kind is Kind.ROLE:
                await self._tell_renamed(snapshot, newest.time)
            await self._desk.publish(snapshot, sighting)
            if snapshot.fields is not None and any(event.type in ACCOUNT_TOO for event in plain):
                await self._desk.hint(Kind.ACCOUNT, [snapshot.fields["parent"]], newest.time)

    async def _told_absent(self, events: Sequence[Event]) -> bool:
        """A scan's list has shown that it is not there, and it never was: it is missing, not removed. False
        where it was made in the meantime, which this region's worker knows first, or where more waits."""
        last = events[-1]
        if last.uuid is None or any(event.type != ABSENT for event in events):
            return False
        if await self._desk.is_here(last.uuid):
            return False
        missing = Snapshot(last.kind, last.uuid, None)
        await self._desk.publish(missing, Sighting(last.time, ABSENT, lost=True))
        return True

    async def _sweep(self, event: Event) -> None:
        """Hints for the entities that are not as they were known: one of them was moved, and what befell it
        before that may be told in no event (CloudStack shows those of a moved user with another UUID)."""
        listed = [one async for page in self._placed(event) for one in await self._compared(event, page)]
        if listed:
            return
        # What it was moved to is gone, or empty again: it may be anywhere, or have gone along.
        async for page in self._everything(event.kind):
            listed += await self._compared(event, page)
        here = await asyncio.to_thread(self._desk.store.present, event.kind)
        await self._hint(event, sorted(here - set(listed)))

    async def _look_at_roles(self, events: Sequence[Event]) -> None:
        """Hints for those that are not as they were known, once for all that asks for it: the poll, or a
        role's creation, which may be that of a copy and then names what was copied. An absence is looked up
        in the event log by whoever answers."""
        asked = [event for event in events if event.type in (ROLES, ROLE_CREATED)]
        if not asked:
            return
        newest = max(asked, key=lambda event: event.time)
        listed = [
            one async for page in self._desk.resources.roles() for one in await self._compared(newest, page)
        ]
        here = await asyncio.to_thread(self._desk.store.present, Kind.ROLE)
        await self._hint(replace(newest, type=ROLES), sorted(here - set(listed)))

    async def _tell_renamed(self, role: Snapshot, time: int) -> None:
        """Whoever has a role that was renamed shows its new name from then on, and no event says so."""
        known = (await asyncio.to_thread(self._desk.store.confirmed, [role.uuid])).get(role.uuid)
        if known is None or role.fields is None or role.fields["name"] == known["name"]:
            return
        async for page in self._desk.resources.accounts():
            having = [one for one in page if one.fields and one.fields["role"] == role.fields["name"]]
            await self._compared(Event(HINT, Kind.ACCOUNT, None, "", time), having)

    async def _compared(self, event: Event, page: Sequence[Snapshot]) -> list[str]:
        """All UUIDs of the page, after hints for those that differ from what is known."""
        known = await asyncio.to_thread(self._desk.store.confirmed, [seen.uuid for seen in page])
        changed = [
            one.uuid
            for one in page
            if not alike(one.kind, one.fields, known.get(one.uuid))
            and not one.is_left_alone(known=one.uuid in known)
        ]
        await self._hint(event, changed)
        return [one.uuid for one in page]

    async def _hint(self, event: Event, uuids: Sequence[str]) -> None:
        for start in range(0, len(uuids), HINTED_AT_ONCE):
            type_ = SCAN if event.type == ROLES else HINT
            await self._desk.hint(event.kind, uuids[start : start + HINTED_AT_ONCE], event.time, type_)
        if uuids:
            log.debug("%s: %d to be read", event.type, len(uuids))

    async def _placed(self, event: Event) -> AsyncIterator[Sequence[Snapshot]]:
        """What is where the event says that something was moved to; nothing where it does not say."""
        if event.type == DOMAIN_MOVED:
            async for page in self._desk.resources.subdomains(event.uuid or ROOT):
                yield page
        elif event.account is not None:
            yield (await self._desk.resources.read(Kind.ACCOUNT, event.account)).users

    def _everything(self, kind: Kind) -> AsyncIterator[list[Snapshot]]:
        resources = self._desk.resources
        return resources.domains() if kind is Kind.DOMAIN else resources.users()


async def by_the_log(resources: Resources, snapshot: Snapshot, time: int) -> Sighting | None:
    """A scan found a difference, or a read an absence, that no event told of: the region's event log says
    when it came about, and whether what is absent was removed there. None where it can't be asked about an
    absence: nothing may follow from that."""
    try:
        history = await resources.history(snapshot.kind, snapshot.uuid)
    except PermanentError as error:
        log.warning("the log does not tell of %s %s: %s", snapshot.kind, snapshot.uuid, error)
        return Sighting(time, SCAN) if snapshot.present else None
    if snapshot.present:
        # A role has no creation time: one that was here before the log began is older than all that is known.
        created = (history.changed_at or 0) if snapshot.kind is Kind.ROLE else snapshot.created
        return Sighting(history.changed_at or time, SCAN, created=created)
    if history.removed_at is not None:
        return Sighting(history.removed_at, SCAN)
    return Sighting(time, SCAN, lost=True)


def _of_scan(events: Sequence[Event]) -> bool:
    """Whether only we ourselves ask, a scan among us: where an event waits too, it says what happened."""
    types = {event.type for event in events}
    return bool(UNPROMPTED & types) and types <= OWN


def _tells_of_removals(events: Sequence[Event]) -> bool:
    """Whether an absence is what these events lead to expect: one is a removal's, or the hub's own hint: it
    asks what a removal took along. Word of any other change may come late, of what the region has lost."""
    return any(event.type == HINT or event.type.endswith(".DELETE") for event in events)
