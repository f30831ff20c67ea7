"""The command `scan`: compares everything that regions hold with what is known, and has read what differs.

In: options. Out: a progress bar on a terminal, then one line a region with what it cost and found. The region
is only read here; what follows from a hint is the pipeline's business.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.database import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, FAILED, AsJson, Config, OneRegion
from pipeline.cli.output import lasted, print_json, print_table, progress_bar
from pipeline.cli.reaching import asking_of, reached
from pipeline.core.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from pipeline.outbox.engine import Engine
    from pipeline.outbox.scans import ScanRow
    from pipeline.settings import Region, Settings

COLUMNS: Final = ("region", "state", "entities", "calls", "time")
EVERYTHING: Final = 1.0
"""The share of missing entities that is believed when a person says so: any."""


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync scan --region berlin")(scan)


def scan(
    config: Config = DEFAULT_CONFIG,
    region: OneRegion = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Every active region, one after the other.")
    ] = False,
    accept_missing: Annotated[
        bool,
        typer.Option("--accept-missing", help="Believe a list that is much shorter than what is known."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare everything that a region holds with what is known, and have read what differs.

    Writes to no region. Exit code 1 when a list was too short to be believed: nothing is concluded then about
    what is missing.
    """
    from pipeline.settings import ALL, Role, load

    if (region is None) is not everywhere:
        raise typer.BadParameter("say --region NAME or --all", param_hint="--region")
    settings = load(config, ALL if region is None else Role("worker", region))
    chosen = [one for one in settings.active if region in (None, one.name)]
    if not chosen:
        raise CommandError(f"region {region} is not active: nothing reads it")
    share = EVERYTHING if accept_missing else None
    rows: list[ScanRow] = []
    failures: dict[str, str] = {}
    with opened(settings) as engine:
        for one in chosen:
            try:
                rows.append(asyncio.run(_scan(settings, one, engine, share)))
            except (TemporaryError, PermanentError) as error:  # the others' turn comes all the same
                failures[one.name] = str(error)
    _tell(rows, failures, as_json)
    raise typer.Exit(FAILED if failures or any(row.suspended for row in rows) else 0)


async def _scan(settings: Settings, region: Region, engine: Engine, share: float | None) -> ScanRow:
    from pipeline.core.compare import SHORT_SHARE
    from pipeline.outbox.scans import ScanStore
    from pipeline.reconcile.scan import Scanner

    with asking_of(settings, region) as asking:
        async with reached(settings, region) as resources:
            store = ScanStore(engine, region.name, now_ms)
            scanner = Scanner(resources, store, asking, SHORT_SHARE if share is None else share)
            with progress_bar(region.name) as told:
                return await scanner.run(uuid.uuid4().hex, lambda at: told(at.listed, at.total))


def _tell(rows: list[ScanRow], failures: dict[str, str], as_json: bool) -> None:
    for name, words in failures.items():
        print(f"region-sync: {name}: not scanned to the end: {words}", file=sys.stderr)
    if as_json:
        print_json({"scans": [_as_json(row) for row in rows], "failures": failures})
        return
    outcomes = [str(one) for row in rows[:1] for one in row.counts]
    print_table(
        (*COLUMNS, *outcomes),
        [
            {
                "region": row.region,
                "state": row.state,
                "entities": row.entities,
                "calls": row.calls,
                "time": lasted(row.ms),
                **{str(one): count for one, count in row.counts.items()},
            }
            for row in rows
        ],
    )
    for row in rows:
        if row.suspended:
            print(f"{row.region}: nothing is concluded about what is missing: {row.suspended}")


def _as_json(row: ScanRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "region": row.region,
        "state": row.state,
        "suspended": row.suspended,
        "entities": row.entities,
        "calls": row.calls,
        "seconds": row.ms / 1000,
        "outcomes": {str(one): count for one, count in row.counts.items()},
    }
