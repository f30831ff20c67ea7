"""The command that tells how it stands, once or again and again.

In: options. Out: tables or JSON: what the pages *Regions* and *Stuck* show. Called by the program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.cli.answers import answers
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, State, Url
from pipeline.cli.output import lasted, moment, print_json, print_table

STATES: Final = tuple(str(state) for state in State)
STUCK_SHOWN: Final = 20


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync status --json")(status)


def status(
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    as_json: AsJson = False,
    again: Annotated[
        bool, typer.Option("--watch", help="Again every 2 s until Ctrl-C; with --json a line each.")
    ] = False,
) -> None:
    """Show how it stands: per region what waits and what failed, stuck entities, conflicts, lost events."""
    if again:
        from pipeline.cli.watching import watch

        watch(lambda: _show(config, url, as_json))
    _show(config, url, as_json)


def _show(config: Path, url: str | None, as_json: bool) -> None:
    with answers(config, url) as asked:
        found = {**asked.get("/stuck"), **asked.get("/regions")}
    if as_json:
        print_json(found)
        return
    print_table(("region", *STATES, "oldest open"), [_row(one) for one in found["regions"]])
    _print_rest(found)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    counts = {state: one["states"].get(state, 0) for state in STATES}
    return {"region": one["region"], **counts, "oldest open": lasted(one["oldest_open_ms"])}


def _print_rest(found: dict[str, Any]) -> None:
    held = ", ".join(f"{number} {kind}" for kind, number in sorted(found["entities"].items())) or "none"
    print()
    print(f"entities: {held}")
    print(f"conflicts: {found['conflicts']}")
    print(f"dead letters: {found['dead_letters']}")
    for row in found["regions"]:
        if row["mode"] not in ("", "apply"):
            print(f"mode of {row['region']}: {row['mode']}")
    _print_buses(found["regions"])
    print(f"stuck: {len(found['stuck'])}{' or more' if found['more'] else ''}")
    if found["stuck"]:
        print()
        print_table(("kind", "name", "uuid", "reason"), found["stuck"][:STUCK_SHOWN])


def _print_buses(regions: list[dict[str, Any]]) -> None:
    lost, filled = (sum(row["gap"][name] for row in regions) for name in ("lost", "filled"))
    print(f"events lost by buses: {lost}, of them found and told: {filled}")
    for row in regions:
        gap = row["gap"]
        if gap["silent_since"] is not None:
            since = moment(gap["silent_since"])
            print(f"{row['region']}: its event log moves and its bus says nothing, since {since}")
        if gap["scan_needed_since"] is not None:
            since = moment(gap["scan_needed_since"])
            print(f"{row['region']}: what changed since {since} may be told nowhere: a full scan is needed")
