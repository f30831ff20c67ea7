"""What each region went through: every value that a person or the sync wrote, in the order of writing.

In: simulated regions. Out: writes, and what the regions hold. It listens at the regions' own event logs,
before any bus that loses things, and compares the whole region with what it held at the event before: so
what goes without a word (all below a removed domain) is seen too. Used by the run; judged by `laws`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.sandbox.dump import protected
from pipeline.sandbox.launch import SimulatedRegion
from pipeline.sandbox.world import World

LIFE = "life"
"""The field that is `present` or None."""
ROOT = "/"
"""Stands for the root domain, whose UUID is each region's own."""
DOMAIN_FIELDS = (LIFE, "kind", "name", "parent", "networkdomain")
ACCOUNT_FIELDS = (*DOMAIN_FIELDS, "state", "role")
USER_FIELDS = (LIFE, "kind", "name", "parent", "firstname", "lastname", "email", "timezone", "state")

Values = Mapping[str, str | None]
Held = Mapping[str, Values]
"""UUID → fields. What the sync makes has the same UUID everywhere."""


@dataclass(frozen=True, slots=True)
class Write:
    """One field of one entity in one region. `direct`: what was called for, and not taken along by it.
    `second`: the event's time, as the region tells it."""

    region: str
    by_person: bool
    uuid: str
    field: str
    before: str | None
    after: str | None
    second: int
    direct: bool = False


class Journal:
    """Keeps the writes of all regions in one list: they live in one event loop, so there is an order."""

    def __init__(self, regions: Sequence[SimulatedRegion], clock: Callable[[], float] = time.time) -> None:
        self.writes: list[Write] = []
        self._clock = clock
        self._rows: dict[str, dict[str, tuple[str | None, ...]]] = {}
        for one in regions:
            self._rows[one.name] = dict(rows(one.region.world))
            one.region.log.listeners.append(self._listener(one))

    def save(self, file: Path) -> None:
        """One line a write, for whoever wants to know how it came."""
        file.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in self.writes))

    def _listener(self, region: SimulatedRegion) -> Callable[[str, str], None]:
        def tell(_key: str, text: str) -> None:
            said = json.loads(text)
            by_person = said["user"] != region.service.userid
            self._compare(region, by_person, said.get("entityuuid", ""))

        return tell

    def _compare(self, region: SimulatedRegion, by_person: bool, about: str) -> None:
        before, now = self._rows[region.name], dict(rows(region.region.world))
        self._rows[region.name] = now
        changed = [uuid for uuid, row in now.items() if before.get(uuid) != row]
        second = int(self._clock())
        for uuid in [*changed, *(uuid for uuid in before if uuid not in now)]:
            old, new = named(before.get(uuid)), named(now.get(uuid))
            for field in new or old:
                if old.get(field) != new.get(field):
                    self.writes.append(
                        Write(
                            region.name,
                            by_person,
                            uuid,
                            field,
                            old.get(field),
                            new.get(field),
                            second,
                            uuid == about,
                        )
                    )


def held(region: SimulatedRegion) -> Held:
    """What the region holds now."""
    return {uuid: named(row) for uuid, row in rows(region.region.world)}


def named(row: tuple[str | None, ...] | None) -> Values:
    if row is None:
        return {}
    fields = {"Domain": DOMAIN_FIELDS, "Account": ACCOUNT_FIELDS, "User": USER_FIELDS}[row[1] or ""]
    return dict(zip(fields, row, strict=True))


def rows(world: World) -> Iterator[tuple[str, tuple[str | None, ...]]]:
    """Everything that is synced, as plain tuples: this runs at every event."""
    for one in world.live_domains.values():
        if one.parent is not None:
            above = ROOT if one.parent.parent is None else one.parent.uuid
            yield one.uuid, ("present", "Domain", one.name, above, one.networkdomain or "")
    for account in world.live_accounts.values():
        if protected(account):
            continue
        domain = ROOT if account.domain.parent is None else account.domain.uuid
        role = account.role.name if account.role is not None else ""
        place = (account.name, domain, account.networkdomain or "")
        yield account.uuid, ("present", "Account", *place, account.state, role)
        for user in account.users.values():
            names = (user.firstname, user.lastname, user.email, user.timezone or "")
            yield user.uuid, ("present", "User", user.username, account.uuid, *names, user.state)
