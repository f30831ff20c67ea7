"""The commands about removals that are held or in quarantine: list them, let one go, keep one.

In: options. Out: a table or JSON: what the page *Holds* shows; a decision in the ledger, which that region's
worker carries out. They need no region, no Kafka and no region's secret; with `--url` no database either.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline.cli.answers import answers
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, OneRegion, Token, Url
from pipeline.cli.output import moment, print_json, print_table

PAGE: Final = 500
"""Holds that the API gives at once at most."""
_WAITING: Final = ("id", "region", "kind", "name", "entity", "row", "since", "until", "reason")
_DECIDED: Final = ("id", "region", "kind", "name", "entity", "row", "decision", "decided", "note", "reason")

Number = Annotated[int, typer.Argument(metavar="ID", help="The hold's id.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the decision.")]


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    holds = typer.Typer(invoke_without_command=True, help="Removals that wait for a person.")
    holds.callback(epilog="Example: region-sync holds --region berlin")(list_holds)
    holds.command("approve", epilog="Example: region-sync holds approve 7 --reason customer-left")(approve)
    holds.command("refuse", epilog="Example: region-sync holds refuse 7 --reason mistake")(refuse)
    app.add_typer(holds, name="holds")


def list_holds(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    region: OneRegion = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="What was approved and refused, and why; the newest first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the removals that are held or in quarantine, the oldest first; approve or refuse one."""
    if context.invoked_subcommand is not None:
        return
    with answers(config, url, region) as asked:
        found = asked.get("/holds", region=region, decided="yes" if decided else None, limit=PAGE)["holds"]
    if as_json:
        print_json(found)
        return
    print_table(_DECIDED if decided else _WAITING, [_readable(one) for one in found])
    if len(found) == PAGE:
        typer.echo(f"These are {PAGE}; there may be more.", err=True)


def approve(
    number: Number,
    reason: Reason,
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Let the region remove it, at once and without asking again."""
    with answers(config, url, token=token) as asked:
        asked.act(f"/holds/{number}/approve", reason)
    _tell(number, "approved", "it will be removed", as_json)


def refuse(
    number: Number,
    reason: Reason,
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Keep it in the region; what is in quarantine gets back the state that it had."""
    with answers(config, url, token=token) as asked:
        asked.act(f"/holds/{number}/refuse", reason)
    _tell(number, "refused", "it stays", as_json)


def _tell(number: int, decision: str, outcome: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": number, "decision": decision})
    else:
        print(f"Hold {number} is {decision}: {outcome}.")


def _readable(held: dict[str, Any]) -> dict[str, Any]:
    return {
        **held,
        "row": held["outbox_id"],
        "since": moment(held["created_time"]),
        "until": moment(held["until"]),
        "decided": moment(held["decided_time"]),
    }
