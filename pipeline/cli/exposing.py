"""The command that tells who still has access in a region where it was taken away.

In: options. Out: a table or JSON: what the page *Exposure* shows. It needs the database alone, or with
`--url` a process that serves the pages.
"""

from __future__ import annotations

from typing import Any, Final

import typer

from pipeline.cli.answers import answers
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, OneRegion, Url
from pipeline.cli.output import moment, print_json, print_table

_COLUMNS: Final = ("region", "kind", "path", "should be", "is", "since", "row", "why")


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync exposure --region berlin")(exposure)


def exposure(
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    region: OneRegion = None,
    as_json: AsJson = False,
) -> None:
    """List who is disabled, locked or removed and still has access in a region, the longest exposed first."""
    with answers(config, url, region) as asked:
        found = asked.get("/exposure", region=region)
    if as_json:
        print_json(found["exposures"])
        return
    print_table(_COLUMNS, [_line(one) for one in found["exposures"]])
    if found["more"]:
        typer.echo(f"These are {len(found['exposures'])}; there are more.", err=True)


def _line(one: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "should be": one["wanted"],
        "is": one["holds"],
        "since": moment(one["since"]),
        "row": one["outbox_id"],
    }
