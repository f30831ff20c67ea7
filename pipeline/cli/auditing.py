"""The commands about the outbox: what waits or failed and why, and "try that again".

In: options. Out: tables or JSON: what the page *Outbox* shows. They need no region, no Kafka and no region's
secret; with `--url` no database either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.cli.answers import Answers, answers
from pipeline.cli.database import opened
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, KindName, OneRegion, State, Token, Url
from pipeline.cli.output import moment, print_json, print_table
from pipeline.cli.person import by

PAGE: Final = 500
"""Rows that the API gives at once at most."""
_TIMES: Final = ("created_time", "published_time", "processed_time", "due_time")
_LISTED: Final = (
    "id",
    "region",
    "kind",
    "name",
    "version",
    "state",
    "attempts",
    "created",
    "result",
    "message",
)


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    outbox = typer.Typer(
        no_args_is_help=True, help="What was to be delivered to the regions, and what became of it."
    )
    outbox.command("list", epilog="Example: region-sync outbox list --region berlin --state dead")(list_rows)
    outbox.command("show", epilog="Example: region-sync outbox show 4711")(show)
    outbox.command("retry", epilog="Example: region-sync outbox retry --all --region berlin")(retry)
    app.add_typer(outbox, name="outbox")


def list_rows(
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    region: OneRegion = None,
    state: Annotated[State | None, typer.Option("--state", help="Only rows in this state.")] = None,
    kind: Annotated[KindName | None, typer.Option("--kind", help="Only this kind of entity.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="So many rows.")] = 50,
    before: Annotated[
        int | None, typer.Option("--before", min=1, metavar="ID", help="Older than this one: the next page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List outbox rows, the newest first."""
    which = {"region": region, "state": state, "kind": kind}
    with answers(config, url, region) as asked:
        rows, older = _rows(asked, which, before, limit)
    if as_json:
        print_json(rows)
        return
    print_table(_LISTED, [_readable(row) for row in rows])
    if older is not None:
        typer.echo(f"More: --before {older}", err=True)


def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="The row's id.")],
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one outbox row: its message and every API call made for it."""
    with answers(config, url) as asked:
        found = asked.get(f"/outbox/{number}")
    if as_json:
        print_json(found)
        return
    print_table(
        ("key", "value"), [{"key": key, "value": value} for key, value in _readable(found["row"]).items()]
    )
    print()
    print(json.dumps(found["body"], indent=2, ensure_ascii=False))
    _print_times(("time", "command", "status", "ms", "error"), found["calls"])
    _print_times(("time", "who", "action", "reason"), found["acts"])


def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="The rows' ids.")] = None,
    config: Config = DEFAULT_CONFIG,
    url: Url = None,
    token: Token = "",
    every: Annotated[bool, typer.Option("--all", help="All dead rows of --region.")] = False,
    region: OneRegion = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the audit.")
    ] = "by region-sync outbox retry",
    as_json: AsJson = False,
) -> None:
    """Try dead outbox rows again: those named, or all of a region."""
    if bool(numbers) == every:
        raise typer.BadParameter("give ids, or --all with --region, and not both")
    if every and region is None:
        raise typer.BadParameter("--all needs --region")
    if region is not None and not every:
        raise typer.BadParameter("--region needs --all")
    if url is None:
        count = _retry_here(config, numbers or [], region, reason)
    else:
        with answers(config, url, token=token) as asked:
            count = _retry_there(asked, numbers or [], region, reason)
    if as_json:
        print_json({"retried": count})
    else:
        print(f"{count} dead {'row' if count == 1 else 'rows'} will be tried again.")


def _retry_here(config: Path, numbers: list[int], region: str | None, reason: str) -> int:
    """All of them in one transaction."""
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    with opened(settings) as engine:
        from pipeline.outbox.acting import ActStore

        acts, who = ActStore(engine), by(reason)
        return acts.retry_region(region, who) if region else acts.retry_dead(numbers, who)


def _retry_there(asked: Answers, numbers: list[int], region: str | None, reason: str) -> int:
    """One after the other: what is said again after an error finds the rest still dead."""
    count, before = 0, None
    while region is not None:
        rows, before = _rows(asked, {"region": region, "state": State.DEAD}, before, PAGE)
        numbers = [*numbers, *(row["id"] for row in rows)]
        if before is None:
            break
    for number in numbers:
        asked.act(f"/outbox/{number}/retry", reason)
        count += 1
    return count


def _rows(
    asked: Answers, which: dict[str, Any], before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """So many rows at most, and before which id there are more; None: there are none."""
    rows: list[dict[str, Any]] = []
    while True:
        piece = asked.get("/outbox", **which, before=before, limit=min(PAGE, limit - len(rows)))
        rows += piece["rows"]
        before = piece["older"]
        if before is None or len(rows) >= limit:
            return rows, before


def _readable(row: dict[str, Any]) -> dict[str, object]:
    return {
        name.removesuffix("_time"): moment(value) if name in _TIMES else value for name, value in row.items()
    }


def _print_times(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if rows:
        print()
        print_table(columns, [{**row, "time": moment(row["time"])} for row in rows])
