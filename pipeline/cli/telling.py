"""The commands that tell what happened: to one entity, and where two regions changed one field.

In: options. Out: tables or JSON, the same as the pages show. They need the database alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline.cli.auditing import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, OneRegion
from pipeline.cli.output import moment, print_json, print_table

_FIELDS: Final = ("field", "agreed", "since", "from")
_REGIONS: Final = ("region", "uuid", "row", "why")
_TIMELINE: Final = ("time", "region", "what", "row", "ms", "text")
_CONFLICTS: Final = ("id", "time", "kind", "name", "entity", "field", "won", "from", "lost", "of", "why")


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command(epilog="Example: region-sync history 5c1c3a52-7c8e-4ad6-9a2f-3b1f0c9f2a11")(history)
    app.command(epilog="Example: region-sync conflicts --region berlin")(conflicts)


def history(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="The entity: its UUID here or in any region.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one entity: what is agreed, why a region does not hold it, what happened, the newest first."""
    from pipeline.outbox.lookup import find
    from pipeline.settings import HUB, load
    from pipeline.views.entity import told

    settings = load(config, HUB)
    modes = {region.name: region.mode.value for region in settings.active}
    with opened(settings) as engine:
        known = find(engine, uuid)
        if not known:
            raise CommandError(f"no entity with the UUID {uuid} is known")
        found = [told(engine, one.uuid, modes) for one in known]
    if as_json:
        print_json(found)
        return
    for one in found:
        _print(one)


def conflicts(
    config: Config = DEFAULT_CONFIG,
    region: OneRegion = None,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="UUID", help="Only this entity, by its canonical UUID.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N", help="So many lines.")] = 50,
    before: Annotated[
        int | None, typer.Option("--before", min=1, metavar="ID", help="Older than this one: the next page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the fields that two regions changed without knowing of each other, the newest first."""
    from pipeline.settings import HUB, load
    from pipeline.views.ledgers import ledger
    from pipeline.views.sources import Sources

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    asked = {"region": region, "entity": entity, "limit": str(limit)}
    asked["before"] = None if before is None else str(before)
    with opened(settings) as engine:
        sources = Sources(engine, now_ms, settings.rules(), {})
        found = ledger(sources, {name: value for name, value in asked.items() if value is not None})
    if as_json:
        print_json(found["conflicts"])
        return
    print_table(_CONFLICTS, [_line(one) for one in found["conflicts"]])
    if found["older"] is not None:
        typer.echo(f"More: --before {found['older']}", err=True)


def _print(found: dict[str, Any]) -> None:
    state = "present" if found["present"] else "removed"
    print(f"{found['kind']} {found['path']} ({found['uuid']}): {state}, version {found['version']}")
    if found["marked"]:
        print(f"stuck: {found['marked']}")
    print()
    print_table(
        _FIELDS,
        [
            {
                "field": one["field"],
                "agreed": one["shown"],
                "since": moment(one["stamp"]["time"]),
                "from": one["stamp"]["region"],
            }
            for one in found["fields"]
        ],
    )
    print()
    print_table(
        _REGIONS,
        [{**one, "row": one["row"]["id"] if one["row"] else None} for one in found["regions"]],
    )
    print()
    print_table(
        _TIMELINE,
        [{**one, "time": moment(one["time"]), "row": one["outbox_id"]} for one in found["timeline"]],
    )


def _line(one: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "time": moment(one["time"]),
        "won": one["kept"],
        "from": one["kept_region"],
        "of": one["lost_region"],
    }
