"""The commands that ask the database: how it stands, what waits or failed and why, and "try that again".

In: options. Out: tables or JSON. They need the database alone: no region, no Kafka, no region's secret.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, KindName, OneRegion, State
from pipeline.cli.output import lasted, moment, print_json, print_table
from pipeline.cli.person import by

if TYPE_CHECKING:
    from pipeline.outbox.audit import AuditStore, OutboxDetail, OutboxRow
    from pipeline.outbox.engine import Engine
    from pipeline.outbox.gaps import GapRow
    from pipeline.settings import Settings

STATES: Final = tuple(str(state) for state in State)
_TIMES: Final = ("created_time", "published_time", "processed_time", "due_time")
_LISTED: Final = (
    "id",
    "region",
    "kind",
    "entity",
    "version",
    "state",
    "attempts",
    "created",
    "result",
    "message",
)
MARKED_SHOWN: Final = 20


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command(epilog="Example: region-sync status --json")(status)
    outbox = typer.Typer(
        no_args_is_help=True, help="What was to be delivered to the regions, and what became of it."
    )
    outbox.command("list", epilog="Example: region-sync outbox list --region berlin --state dead")(list_rows)
    outbox.command("show", epilog="Example: region-sync outbox show 4711")(show)
    outbox.command("retry", epilog="Example: region-sync outbox retry --all --region berlin")(retry)
    app.add_typer(outbox, name="outbox")


def status(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
    again: Annotated[
        bool, typer.Option("--watch", help="Again every 2 s until Ctrl-C; with --json a line each.")
    ] = False,
) -> None:
    """Show how it stands: per region what waits and what failed, stuck entities, conflicts, lost events."""
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if again:
        from pipeline.cli.watching import watch

        watch(lambda: _show_status(settings, as_json))
    _show_status(settings, as_json)


def _show_status(settings: Settings, as_json: bool) -> None:
    with opened(settings) as engine:
        from pipeline.outbox.audit import AuditStore
        from pipeline.outbox.gaps import gaps

        modes = {region.name: region.mode.value for region in settings.regions}
        found = _standing(AuditStore(engine), gaps(engine), modes, now_ms())
    if as_json:
        print_json(found)
        return
    print_table(
        ("region", *STATES, "oldest open"),
        [{**row, "oldest open": lasted(row["oldest_open_ms"])} for row in found["regions"]],
    )
    _print_rest(found)


def list_rows(
    config: Config = DEFAULT_CONFIG,
    region: OneRegion = None,
    state: Annotated[State | None, typer.Option("--state", help="Only rows in this state.")] = None,
    kind: Annotated[KindName | None, typer.Option("--kind", help="Only this kind of entity.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, metavar="N", help="So many rows.")] = 50,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="ID", help="Rows after this one: the next page.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """List outbox rows, the oldest first."""
    from pipeline.core.entities import Kind

    with _store(config, region) as store:
        from pipeline.outbox.audit import Filter

        which = Filter(
            region=region,
            state=state.value if state else None,
            kind=Kind(kind.value) if kind else None,
            after_id=after,
            limit=limit,
        )
        rows = store.rows(which)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(_LISTED, [_readable(row) for row in rows])
    if len(rows) == limit:
        typer.echo(f"More: --after {rows[-1].id}", err=True)


def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="The row's id.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one outbox row: its message and every API call made for it."""
    with _store(config) as store:
        detail = store.show(number)
    if detail is None:
        raise CommandError(f"there is no outbox row {number}")
    if as_json:
        print_json({**asdict(detail.row), "body": _body(detail), "calls": _calls(detail)})
        return
    print_table(
        ("key", "value"), [{"key": key, "value": value} for key, value in _readable(detail.row).items()]
    )
    print()
    print(json.dumps(_body(detail), indent=2, ensure_ascii=False))
    if detail.attempts:
        print()
        calls = [{**call, "time": moment(call["time"])} for call in _calls(detail)]
        print_table(("time", "command", "status", "ms", "error"), calls)


def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="The rows' ids.")] = None,
    config: Config = DEFAULT_CONFIG,
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
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    with opened(settings) as engine:
        from pipeline.outbox.acting import ActStore

        acts, who = ActStore(engine), by(reason)
        count = acts.retry_region(region, who) if region else acts.retry_dead(numbers or [], who)
    if as_json:
        print_json({"retried": count})
    else:
        print(f"{count} dead {'row' if count == 1 else 'rows'} will be tried again.")


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The database. Raises `CommandError` when it holds no tables yet."""
    from pipeline.outbox.engine import open_database
    from pipeline.outbox.lookup import Tables, tables

    state = tables(settings.database.get_secret_value())
    if state is Tables.MISSING:
        raise CommandError("the database has no tables yet: start `region-sync run`, or the hub, once")
    if state is Tables.OTHER:
        raise CommandError("the database's tables are of another version: start this version's hub once")
    engine = open_database(settings.database.get_secret_value())
    try:
        yield engine
    finally:
        engine.dispose()


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@contextmanager
def _store(config: Path, region: str | None = None) -> Iterator[AuditStore]:
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    with opened(settings) as engine:
        from pipeline.outbox.audit import AuditStore

        yield AuditStore(engine)


def _standing(store: AuditStore, lossy: dict[str, GapRow], modes: dict[str, str], now: int) -> dict[str, Any]:
    counts, oldest, totals = store.counts(), store.oldest_open(), store.totals()
    marked = store.marked()
    names = [*modes, *sorted(set(counts) - set(modes))]
    return {
        "regions": [
            {
                "region": name,
                "mode": modes.get(name),
                **{state: counts.get(name, {}).get(state, 0) for state in STATES},
                "oldest_open_ms": now - oldest[name] if name in oldest else None,
                **_bus(lossy.get(name)),
            }
            for name in names
        ],
        "entities": totals.entities,
        "conflicts": totals.conflicts,
        "dead_letters": totals.dead_letters,
        "marked": [asdict(one) for one in marked],
    }


def _bus(row: GapRow | None) -> dict[str, int | None]:
    """What the region's bus lost; nothing of it is known of a region whose source is its event log."""
    return {
        "events_lost": row.lost if row else 0,
        "events_filled": row.filled if row else 0,
        "last_lost_time": row.last_lost_time if row else None,
        "silent_since": row.silent_since if row else None,
        "scan_needed_since": row.scan_needed_since if row else None,
    }


def _print_buses(regions: list[dict[str, Any]]) -> None:
    lost, filled = (sum(row[name] for row in regions) for name in ("events_lost", "events_filled"))
    print(f"events lost by buses: {lost}, of them found and told: {filled}")
    for row in regions:
        if row["silent_since"] is not None:
            since = moment(row["silent_since"])
            print(f"{row['region']}: its event log moves and its bus says nothing, since {since}")
        if row["scan_needed_since"] is not None:
            since = moment(row["scan_needed_since"])
            print(f"{row['region']}: what changed since {since} may be told nowhere: a full scan is needed")


def _print_rest(found: dict[str, Any]) -> None:
    held = ", ".join(f"{number} {kind}" for kind, number in sorted(found["entities"].items())) or "none"
    print()
    print(f"entities: {held}")
    print(f"conflicts: {found['conflicts']}")
    print(f"dead letters: {found['dead_letters']}")
    for row in found["regions"]:
        if row["mode"] not in (None, "apply"):
            print(f"mode of {row['region']}: {row['mode']}")
    _print_buses(found["regions"])
    print(f"stuck: {len(found['marked'])}")
    if found["marked"]:
        print()
        print_table(("kind", "name", "uuid", "reason"), found["marked"][:MARKED_SHOWN])


def _readable(row: OutboxRow) -> dict[str, object]:
    values: dict[str, object] = asdict(row)
    for name in _TIMES:
        values[name.removesuffix("_time")] = moment(values.pop(name))  # type: ignore[arg-type]
    return values


def _body(detail: OutboxDetail) -> object:
    try:
        return json.loads(detail.body)
    except ValueError:
        return detail.body.decode(errors="replace")


def _calls(detail: OutboxDetail) -> list[dict[str, Any]]:
    return [asdict(call) for call in detail.attempts]
