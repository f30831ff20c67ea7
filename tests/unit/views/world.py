"""A little of everything that pages show: an entity with a history, a conflict, a hold, a dead letter."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine, insert

from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import ROOT, Kind
from pipeline.core.merge import Outcome
from pipeline.core.plan import Call
from pipeline.core.records import Conflict, Stamp, Value
from pipeline.core.removal import Asked, Limits, Losses
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.decisions import Decision
from pipeline.outbox.engine import writing
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.plans import PlanStore
from pipeline.outbox.proofs import Proof, keep_proofs
from pipeline.outbox.pulses import Pulse, PulseStore
from pipeline.outbox.region import CallRow, RegionStore
from pipeline.outbox.schema import scan
from tests.unit.outbox.builders import NOW, Clock, at, desired, fields, record, removed, seen_in, settled
from tests.unit.outbox.looking_contract import scan_row

EVENT = b'{"event":"USER.UPDATE","entity":"User","entityuuid":"u1","status":"Completed",'
EVENT += b'"eventDateTime":"2026-11-23 08:18:10 +0000"}'


def furnish(engine: Engine) -> None:
    """u1 in r1, failed in r2; its address fought over, as decided at 812 of partition 3; a2 held in r2; two
    letters, the second readable."""
    hub, region = HubStore(engine, Clock()), RegionStore(engine, "r2", Clock())
    account = record(Kind.ACCOUNT, "a1", "acme", ROOT)
    user = record(Kind.USER, "u1", "alice", "a1")
    won, lost = Value("late", Stamp(6_000, "r2")), Stamp(5_000, "r1")
    user = seen_in(replace(user, fields={**user.fields, "email": won}), "r1", email="early")
    line = Conflict("u1", "email", "e", won.text, won.stamp, "early", lost)
    decided = Decision(
        "u1", Kind.USER, "r1", "log/3", 812, "USER.<b>UPDATE", None, Outcome.LOST, 1, user.version, NOW - 9
    )
    hub.commit([Change(user, None, (desired(user),), (line,), at(user, "r1"))], NOW, [decided])
    gone = removed(record(Kind.ACCOUNT, "a2", "going", ROOT))
    rows = hub.commit([Change(gone, None, (desired(gone),)), Change(account, None)], NOW)
    call = CallRow("updateUser", 431, "no such user", 12, NOW)
    region.settle([settled(user, "dead", message="no such user", calls=(call,))], NOW)
    region.decide([Pending(rows[0][0], "a2", Asked(Kind.ACCOUNT, "enabled", Losses(vms=4)))], Limits())
    region.settle([settled(gone, "held", message="it would take along 4 VMs")], NOW)
    hub.keep_dead_letters(
        [
            DeadLetter("region-sync.dead-letters", 0, 1, "r1", "k", "not JSON", b"{<script>", NOW),
            DeadLetter("region-sync.dead-letters", 0, 2, "r1", "k", "of a newer version", EVENT, NOW),
        ]
    )
    held = fields(Kind.USER, "alice", "a1")
    changed = {**held, "email": "new"}
    calls = (Call("updateUser", {"id": "u1", "email": "new"}),)
    place = "/sales/<b>|acme|alice"
    steps = [
        Step(Kind.USER, "u1", "u1", place, Drift.DIFFERENT, held, changed, calls),
        Step(
            Kind.USER, "u7", "u7", "/sales|bob", Drift.EXTRA, held, None, (Call("deleteUser", {"id": "u7"}),)
        ),
    ]
    store = PlanStore(engine, "r2", Clock())
    tally, number = Tally(), store.begin()
    tally.add(steps)
    store.add(number, steps)
    store.end(number, tally, 90)
    ActStore(engine).requeue(2, By("ann", "upgraded", NOW))
    unreached = Pulse("r2", "w", NOW - 5, 64, 3, reachable=False, since=NOW - 99, reason="<b>refused")
    for beat in (replace(unreached, region="r1", reachable=True, reason=None), unreached):
        PulseStore(engine).keep(beat)
    keep_proofs(engine, [Proof(NOW, "r2", "f", 1, 1, 1, equal=True, differences=0)])
    with writing(engine) as connection:
        connection.execute(insert(scan).values(**scan_row("done")))
