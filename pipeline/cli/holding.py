"""The commands about removals that are held or in quarantine: list them, let one go, keep one.

In: options. Out: a table or JSON; a decision in the ledger, which that region's worker carries out. They need
the database alone: no region, no Kafka, no region's secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.auditing import opened
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, OneRegion
from pipeline.cli.output import moment, print_json, print_table
from pipeline.cli.person import by

if TYPE_CHECKING:
    from pipeline.outbox.acting import ActStore
    from pipeline.outbox.holding import Held, HoldStore

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
    region: OneRegion = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="What was approved and refused, and why; the newest first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the removals that are held or in quarantine, the oldest first; approve or refuse one."""
    if context.invoked_subcommand is not None:
        return
    with _store(config, region) as store:
        found = store.holds(region, decided=decided)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_table(_DECIDED if decided else _WAITING, [_readable(one) for one in found])


def approve(number: Number, reason: Reason, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Let the region remove it, at once and without asking again."""
    with _acts(config) as acts:
        acts.approve(number, by(reason))
    _tell(number, "approved", "it will be removed", as_json)


def refuse(number: Number, reason: Reason, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Keep it in the region; what is in quarantine gets back the state that it had."""
    with _acts(config) as acts:
        acts.refuse(number, by(reason))
    _tell(number, "refused", "it stays", as_json)


@contextmanager
def _store(config: Path, region: str | None = None) -> Iterator[HoldStore]:
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    with opened(settings) as engine:
        from pipeline.outbox.holding import HoldStore

        yield HoldStore(engine)


@contextmanager
def _acts(config: Path) -> Iterator[ActStore]:
    from pipeline.settings import HUB, load

    with opened(load(config, HUB)) as engine:
        from pipeline.outbox.acting import ActStore

        yield ActStore(engine)


def _tell(number: int, decision: str, outcome: str, as_json: bool) -> None:
    if as_json:
        print_json({"id": number, "decision": decision})
    else:
        print(f"Hold {number} is {decision}: {outcome}.")


def _readable(held: Held) -> dict[str, Any]:
    return {
        **asdict(held),
        "row": held.outbox_id,
        "since": moment(held.created_time),
        "until": moment(held.until),
        "decided": moment(held.decided_time),
    }
