"""What one region's worker reads and writes: contexts before applying, settlements after, rows that are due.

In: desired states off the region's topic. Out: what apply must know, and the rows whose time has come. Called
by the region worker's agents and its timer, in threads; every method is one transaction and may be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Engine, select, true, update

from pipeline import wire
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Desired, Founder
from pipeline.core.removal import Decision, Limits
from pipeline.outbox.confirmed import read_confirmed
from pipeline.outbox.contexts import Context, read_contexts
from pipeline.outbox.due import LEASE_MS, DueRow, take_due
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.holds import QUARANTINED, Pending, Stands, decide_all, read_stands
from pipeline.outbox.hub import REPUBLISH_AFTER_MS
from pipeline.outbox.mappings import (
    OPEN,
    Mapping,
    canonical_by_local,
    is_present,
    present_locals,
    rows_by_canonical,
    write_mappings,
)
from pipeline.outbox.namesakes import read_called
from pipeline.outbox.overtaken import overtaken
from pipeline.outbox.plans import is_released
from pipeline.outbox.presence import dying_account
from pipeline.outbox.records import read_founder
from pipeline.outbox.schema import applied, entity, outbox, rmap
from pipeline.outbox.settle import PLANNED, UNTOUCHED, CallRow, Settlement, Untouched, settle
from pipeline.outbox.statements import chunks, insert_new, name_key, upsert

__all__ = ["LEASE_MS", "UNTOUCHED", "CallRow", "Context", "DueRow", "RegionStore", "Settlement", "Untouched"]

REOPEN_MS: Final = 5_000
"""When a reopened row is applied again: after the change that it guards has ended, one way or the other."""
FARTHEST_MS: Final = 2 * REPUBLISH_AFTER_MS
"""No row but one in quarantine is put off for so long: a clock ran ahead when it was written."""
AHEAD_EVERY_MS: Final = 60_000
"""How often such rows are looked for: all that is in quarantine is gone through for it."""


class RegionStore:
    """One region's view of the database. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._region = region
        self._clock = clock
        self._looked_ahead = 0

    def contexts(self, wanted: Sequence[Desired]) -> list[Context]:
        """One context for each, in their order."""
        if not wanted:
            return []
        now = self._clock()  # before reading: what happens meanwhile counts as later
        with reading(self._engine) as connection:
            return read_contexts(connection, self._region, wanted, now)

    def blocker(self, wanted: Desired) -> str | None:
        """What must go from this region before the entity can be removed: a canonical UUID, None for nothing.

        A domain waits for all that is below it here. An account waits for its users that live on: they are
        moving out, or the hub has not yet heard of their end. A user whose account goes waits for that: it
        goes with it.
        """
        with reading(self._engine) as connection:
            if wanted.kind is Kind.USER:
                return dying_account(connection, self._region, wanted.uuid)
            query = (
                select(rmap.c.source)
                .where(rmap.c.region_id == self._region, rmap.c.parent == wanted.uuid, is_present())
                .order_by(rmap.c.source)
                .limit(1)
            )
            if wanted.kind is Kind.ACCOUNT:
                query = query.join(entity, entity.c.uuid == rmap.c.source).where(entity.c.present.is_(True))
            return connection.execute(query).scalar_one_or_none()

    def stands(self, uuid: str) -> Stands:
        """How the removal of something that is in the way (canonical UUID) stands here."""
        with reading(self._engine) as connection:
            return read_stands(connection, self._region, uuid)

    def decide(self, pending: Sequence[Pending], limits: Limits) -> list[Decision]:
        """One decision for each removal, in their order; what is let through, held or quarantined is written
        down in the same transaction."""
        with writing(self._engine) as connection:
            return decide_all(connection, self._region, pending, limits, self._clock())

    def release_planned(self, now: int) -> int:
        """What mode plan held is due again. Returns how many rows."""
        planned = (outbox.c.region == self._region, outbox.c.state == "held", outbox.c.result == PLANNED)
        with writing(self._engine) as connection:
            return connection.execute(
                update(outbox).where(*planned).values(state="pending", due_time=now)
            ).rowcount

    def released(self, desired: Desired) -> bool:
        """Whether a person had just this carried out, of a plan, though the region is in mode plan."""
        with reading(self._engine) as connection:
            return is_released(connection, self._region, desired, self._clock())

    def founder(self, account: str) -> Founder | None:
        """The oldest present user of the account: the one to create it with here."""
        with reading(self._engine) as connection:
            return read_founder(connection, account)

    def came_with(self, account: str, users: Collection[str]) -> None:
        """The account (its canonical UUID) was made here with these users. One that no record tells of is
        left for the hub to find out who it is."""
        now = self._clock()
        query = select(entity.c.uuid).where(entity.c.uuid.in_(users), entity.c.kind == Kind.USER.value)
        with writing(self._engine) as connection:
            known = connection.execute(query).scalars().all()
            seen = [Mapping(user, self._region, user, Kind.USER, account, True, now) for user in known]
            write_mappings(connection, seen, now, skip_taken=True)

    def role_called(self, name: str) -> str | None:
        """The canonical UUID of the custom role with that name, without case; None: no record has it."""
        with reading(self._engine) as connection:
            return read_called(connection, (ROOT, Kind.ROLE, name_key(name)))

    def is_removed(self, source: str) -> bool:
        """Whether the entity's record is removed: it never comes back."""
        query = select(entity.c.present).where(entity.c.uuid == source)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none() is False

    def settle(self, settlements: Sequence[Settlement], now: int) -> None:
        """Write down how applying ended, all of the batch or none."""
        if not settlements:
            return
        with writing(self._engine) as connection:
            settle(connection, self._region, settlements, now)

    def mint(self, source: str, kind: Kind, uuid: str, mapped: int | None) -> None:
        """The entity gets the UUID `uuid` here, since the one it had is used up; it is not there yet. Where
        it has it already, or its mapping is not the one of `mapped` (see `Context`) any more, somebody was
        faster, and may have made it."""
        now = self._clock()
        row = {
            "source": source,
            "region_id": self._region,
            "uuid": uuid,
            "kind": kind.value,
            "parent": None,
            "created": now,
            "modified": now,
            "removed": None,
            "confirmed": None,
        }
        with writing(self._engine) as connection:
            known = rows_by_canonical(connection, [(source, self._region)], lock=True)
            before = known.get((source, self._region))
            if before is None and mapped is None:
                insert_new(connection, rmap, [row])  # there is no row to lock: the first one stays
            elif before is not None and before["modified"] == mapped and before["uuid"] != uuid:
                upsert(connection, rmap, [row], ("uuid", "parent", "modified", "removed", "confirmed"))

    def due(self, now: int, limit: int) -> list[DueRow]:
        """Open rows whose time has come, oldest first: at most `limit`, leased for `LEASE_MS`, so that no
        other worker takes them. `republished` says that they are on the topic."""
        with writing(self._engine) as connection:
            return take_due(connection, (outbox.c.region == self._region,), self._when_due(now), (now, limit))

    def due_revocations(self, now: int, limit: int) -> list[DueRow]:
        """Likewise, but only of those that take access away: however many others are due."""
        mine = (outbox.c.region == self._region, outbox.c.revokes == true())
        with writing(self._engine) as connection:
            return take_due(connection, mine, [outbox.c.due_time <= now], (now, limit))

    def _when_due(self, now: int) -> list[ColumnElement[bool]]:
        when = [outbox.c.due_time <= now]
        if abs(now - self._looked_ahead) >= AHEAD_EVERY_MS:
            self._looked_ahead = now
            put_off = outbox.c.message.is_(None) | (outbox.c.message != QUARANTINED)
            when.append((outbox.c.due_time > now + FARTHEST_MS) & put_off)
        return when

    def republished(self, ids: Sequence[int], leased: int, now: int) -> None:
        """These rows, taken by `due` at `leased`, are on the topic again. Those that were settled, parked or
        woken since then stay as they are."""
        with writing(self._engine) as connection:
            for chunk in chunks(ids):
                connection.execute(
                    update(outbox)
                    .where(
                        outbox.c.id.in_(chunk),
                        outbox.c.state.in_(OPEN),
                        outbox.c.due_time == leased + LEASE_MS,
                    )
                    .values(state="published", published_time=now, due_time=now + REPUBLISH_AFTER_MS)
                )

    def reopen(self, source: str, values: dict[str, str], now: int) -> None:
        """The entity's last delivered row is applied once more soon, and what it holds by then (`values`, of
        what was applied) is our own doing: called before a change that must not stay if its maker dies."""
        with writing(self._engine) as connection:
            last = connection.execute(
                select(applied.c.version, applied.c["values"])
                .where(applied.c.entity == source, applied.c.region == self._region)
                .with_for_update()
            ).one_or_none()
            if last is None:
                return
            version, held = last
            before = wire.fields(held)
            if before is None:  # removed here: nothing that could stay open
                return
            fields = {**before, **values}
            connection.execute(
                update(applied)
                .where(applied.c.entity == source, applied.c.region == self._region)
                .values({"values": wire.encode_fields(fields).encode()})
            )
            connection.execute(
                update(outbox)
                .where(
                    outbox.c.entity == source,
                    outbox.c.region == self._region,
                    outbox.c.version == version,
                )
                .values(state="pending", due_time=now + REOPEN_MS, processed_time=None)
            )

    def overtaken(self, source: str, values: dict[str, str], now: int) -> bool:
        """A call that was given up has written `values` (canonical UUIDs) after all: what was applied last is
        applied once more, where it is something else."""
        with writing(self._engine) as connection:
            return overtaken(connection, self._region, source, values, now)

    @property
    def region(self) -> str:
        """The region's name."""
        return self._region

    def wake_all(self, now: int) -> int:
        """Every open row of this region is due: its broker forgot them all. Returns how many were not yet."""
        with writing(self._engine) as connection:
            return connection.execute(
                update(outbox)
                .where(outbox.c.region == self._region, outbox.c.state.in_(OPEN), outbox.c.due_time > now)
                .values(due_time=now)
            ).rowcount

    def canonical(self, locals: Collection[str]) -> dict[str, str]:
        """UUID here → canonical UUID, only those that are known."""
        with reading(self._engine) as connection:
            found = canonical_by_local(connection, [(self._region, uuid) for uuid in locals])
        return {uuid: source for (_, uuid), source in found.items()}

    def confirmed(self, locals: Collection[str]) -> dict[str, dict[str, str] | None]:
        """UUID here → what the entity was last known to hold here, None for nothing; in the UUIDs of this
        region. Only those that are known."""
        with reading(self._engine) as connection:
            return read_confirmed(connection, self._region, locals)

    def here(self, locals: Collection[str]) -> set[str]:
        """Which of these UUIDs of the region are known to be in use here now."""
        with reading(self._engine) as connection:
            return present_locals(connection, self._region, locals)

    def present(self, kind: Kind) -> set[str]:
        """The UUIDs of all that is known to be here, of one kind."""
        query = select(rmap.c.uuid).where(
            rmap.c.region_id == self._region, rmap.c.kind == kind.value, is_present()
        )
        with reading(self._engine) as connection:
            return set(connection.execute(query).scalars())
