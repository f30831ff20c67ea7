"""The commands that tell what happened: to one entity, and where two regions changed one field.

In: options. Out: tables or JSON, the same as the pages show. They need the database alone, or with `--url` a
process that serves the pages.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline.cli.answers import answers
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, OneRegion, Url
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
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one entity: what is agreed, why a region does not hold it, what happened, the newest first."""
    with answers(config, url) as asked:
        found = asked.get(f"/entity/{uuid}")
    if as_json:
        print_json(found)
    else:
        _print(found)


def conflicts(
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
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
    with answers(config, url, region) as asked:
        found = asked.get("/conflicts", region=region, entity=entity, limit=limit, before=before)
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
