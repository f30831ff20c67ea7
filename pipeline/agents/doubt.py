"""Remembers the calls whose end nobody heard of: they may take effect later, over what was written since.

In: desired states whose calls were given up, then the region's events. Out: which entities an echo concerns
that came of such a call; and their newest desired state applied once more, what the late call wrote being
taken for our own doing and not for a person's. Used by apply and the region worker. A worker that starts anew
has forgotten: what is under way then is a matter of seconds.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.agents.desk import Desk
from pipeline.agents.observe import DOMAIN_MOVED, USER_MOVED
from pipeline.cloudstack.client import CallRecord
from pipeline.core.entities import Fields, Kind
from pipeline.core.events import Event
from pipeline.core.records import Desired

KEPT_S: Final = 3600.0
"""No call takes effect later than that; CloudStack gives jobs up long before."""
KEPT_MAX: Final = 10_000
"""Entities; the oldest are forgotten first."""
EACH_MAX: Final = 8
"""Desired states of one entity; the newest are kept."""


@dataclass(slots=True)
class _Doubt:
    """One entity. `written`: what calls were to write that nobody heard of, in the region's UUIDs, each with
    the same in canonical ones."""

    kind: Kind
    canonical: str
    until: float
    written: list[tuple[Fields, Fields]] = field(default_factory=list)


class Doubts:
    """One worker's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._doubts: OrderedDict[str, _Doubt] = OrderedDict()

    def note(self, desired: Desired, local: str, wanted: Fields | None, calls: Sequence[CallRecord]) -> None:
        """These calls were made for it, and how they ended is not known. `wanted`: its fields with the UUIDs
        of the region. A removal can't be overtaken: nothing comes after it."""
        if desired.fields is None or wanted is None or all(call.read for call in calls):
            return
        now = asyncio.get_running_loop().time()
        doubt = self._doubts.pop(local, None) or _Doubt(desired.kind, desired.uuid, now)
        doubt.until = now + KEPT_S
        doubt.written = [*doubt.written[1 - EACH_MAX :], (wanted, desired.fields)]
        self._doubts[local] = doubt
        while len(self._doubts) > KEPT_MAX or next(iter(self._doubts.values())).until <= now:
            self._doubts.popitem(last=False)

    def about(self, event: Event) -> tuple[str, ...]:
        """The entities (UUIDs of the region) that an event of our own may tell such a call of."""
        if not self._doubts:
            return ()
        if event.type not in (DOMAIN_MOVED, USER_MOVED):
            return (event.uuid,) if event.uuid and event.uuid in self._doubts else ()
        # The event names not what was moved but, where it does, what it was moved to.
        target = event.uuid if event.type == DOMAIN_MOVED else event.account
        return tuple(
            local
            for local, doubt in self._doubts.items()
            if any(target in (None, local_fields.get("parent")) for local_fields, _ in doubt.written)
        )

    async def settle(self, locals_: Sequence[str]) -> None:
        """Where the region holds what such a call was to write, and something else was applied since then,
        that is applied once more. Raises as the client and the store do."""
        for local in locals_:
            doubt = self._doubts.get(local)
            if doubt is None:
                continue
            actual = (await self._desk.resources.read(doubt.kind, local)).fields
            if actual is None:
                continue
            ours = {
                name: canonical[name]
                for written, canonical in doubt.written
                for name, text in written.items()
                if actual.get(name) == text
            }
            await asyncio.to_thread(self._desk.store.overtaken, doubt.canonical, ours, self._desk.clock())
