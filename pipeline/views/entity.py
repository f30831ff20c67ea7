"""The page of one entity, and the search that leads to it.

In: an entity's UUID, here or in a region, or what somebody typed. Out: values for a page or for JSON. Called
as `routes` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pipeline.core.entities import DEFAULTED, FIELDS, OPTIONAL, ROOT
from pipeline.core.records import Record
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import Engine, reading
from pipeline.outbox.lookup import find
from pipeline.outbox.searching import paths, search
from pipeline.outbox.timeline import History, history
from pipeline.views import params as read
from pipeline.views.sources import NotThere, Params, Sources
from pipeline.views.why import Case, why

PARENT: Final = "parent"
STUCK_MAX: Final = 500


def found(sources: Sources, params: Params) -> dict[str, Any]:
    """What may be meant by `q`."""
    text = read.text(params, "q") or ""
    return {"q": text, "hits": [asdict(hit) for hit in search(sources.engine, text)]}


def entity(sources: Sources, params: Params) -> dict[str, Any]:
    """The record, what each region holds, and what happened."""
    return _told(sources.engine, read.text(params, "uuid") or "", sources.modes)


def stuck(sources: Sources, _params: Params) -> dict[str, Any]:
    """What a region can't be brought to hold, and why; beside it how many entities there are."""
    store = AuditStore(sources.engine)
    found = store.marked(STUCK_MAX + 1)
    return {
        "stuck": [asdict(one) for one in found[:STUCK_MAX]],
        "more": len(found) > STUCK_MAX,
        "entities": store.totals().entities,
    }


def _told(engine: Engine, asked: str, modes: Mapping[str, str]) -> dict[str, Any]:
    """`asked`: a canonical UUID, else a region's own."""
    uuid = _canonical(engine, asked)
    known = history(engine, uuid)
    if known is None:
        raise NotThere(f"no entity with the UUID {asked[:80]} is known")
    with reading(engine) as connection:
        names = paths(connection, _named(known, uuid))
    regions = [_region(known, name, modes, names) for name in _regions(known, modes)]
    return {
        "uuid": uuid,
        "kind": known.record.kind.value,
        "name": known.record.fields["name"].text,
        "path": names[uuid],
        "present": known.record.life.present,
        "life": asdict(known.record.life.stamp),
        "version": known.record.version,
        "created": known.created,
        "modified": known.modified,
        "marked": known.marked,
        "fields": _fields(known.record, names, {field for one in regions for field in one["differs"]}),
        "regions": regions,
        "timeline": [asdict(moment) for moment in known.moments],
    }


def _canonical(engine: Engine, asked: str) -> str:
    found = [one.uuid for one in find(engine, asked)]
    if asked in found or not found:
        return asked
    if len(found) > 1:
        raise NotThere(f"regions gave the UUID {asked[:80]} to several entities: {', '.join(found[:5])}")
    return found[0]


def _named(known: History, uuid: str) -> set[str]:
    """Everything whose path is shown."""
    named = {uuid, known.record.parent}
    for state in known.record.regions.values():
        named |= {state.confirmed[PARENT]} if state.confirmed else set()
    named |= {row.waits_for for row in known.newest.values() if row.waits_for is not None}
    return named - {ROOT}


def _regions(known: History, modes: Mapping[str, str]) -> list[str]:
    others = {*known.theres, *known.newest, *known.record.regions} - set(modes)
    return [*modes, *sorted(others)]


def _fields(record: Record, names: Mapping[str, str], differing: set[str]) -> list[dict[str, Any]]:
    """`folded`: a page shows it in one line with its like. An account has 17 limits, and who looks for what
    is wrong looks for those that differ."""
    return [
        {
            "field": name,
            "value": value.text,
            "shown": names.get(value.text, value.text) if name == PARENT else value.text,
            "stamp": asdict(value.stamp),
            "folded": name in DEFAULTED and name not in differing,
        }
        for name in (*FIELDS[record.kind], *OPTIONAL[record.kind])
        if (value := record.fields.get(name)) is not None
    ]


def _region(known: History, name: str, modes: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    there, row = known.theres.get(name), known.newest.get(name)
    held = known.record.region(name).confirmed
    wanted = known.record.desired_in(name)
    awaited = names.get(row.waits_for) if row is not None and row.waits_for is not None else None
    return {
        "region": name,
        "uuid": there.uuid if there else None,
        "present": there is not None and there.present,
        "seen": there.modified if there else None,
        "holds": held,
        "shown": {
            key: names.get(text, text) if key == PARENT else text for key, text in (held or {}).items()
        },
        "differs": sorted(_differing(wanted, held)),
        "under_way": [sent.version for sent in known.record.region(name).sent],
        "row": asdict(row) if row else None,
        "why": why(Case(known.record, name, modes.get(name), there, row, awaited)),
    }


def _differing(wanted: Mapping[str, str] | None, held: Mapping[str, str] | None) -> set[str]:
    """The fields that are not as they should be; those of an entity that is not there are no difference."""
    if wanted is None or held is None:
        return set()
    return {name for name, text in wanted.items() if held.get(name) != text}
