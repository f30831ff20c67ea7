"""The commands that ask regions to be read: one entity, or all that a region's event log says has changed.

In: options. Out: hints on `events.<region>`, and how many. What follows is what follows any event.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.database import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, KindName, OneRegion, ThisRegion
from pipeline.cli.output import moment, print_json, print_table

if TYPE_CHECKING:
    from pipeline.hints import Hint
    from pipeline.settings import Settings

BEGINNING: Final = "beginning"
_SPAN: Final = re.compile(r"(\d{1,9})(s|min|m|h|d)")
_SPAN_MS: Final = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command(epilog="Example: region-sync sync 5c1c3a52-7c8e-4ad6-9a2f-3b1f0c9f2a11")(sync)
    app.command(epilog="Example: region-sync reread --region berlin --from 2h")(reread)


def sync(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="The entity: its UUID here or in any region.")],
    config: Config = DEFAULT_CONFIG,
    region: OneRegion = None,
    kind: Annotated[
        KindName | None,
        typer.Option("--kind", help="What it is, where it is not known here yet; needs --region."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read one entity again, in every region or in one, and put right what differs."""
    from pipeline.settings import HUB, load

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    hints = _hints_for(settings, uuid, region, kind)
    _send(settings, hints)
    _tell(hints, as_json, f"{len(hints)} {_regions(hints)} will be read for {uuid}.")


def reread(
    region: ThisRegion,
    since: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME",
            help="A time (2026-11-23T08:00, UTC if it names no zone), a span back from now (30min, 2h, 3d), "
            "or beginning: as far as the log reaches.",
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read again, in one region, everything that its event log says has changed since a time."""
    from pipeline.settings import Role, load

    from_ms = parse_since(since, now_ms())
    settings = load(config, Role("worker", region))
    hints = asyncio.run(_changed(settings, region, from_ms))
    if not dry_run:
        _send(settings, hints)
    told = f"{len(hints)} {'entity' if len(hints) == 1 else 'entities'} of {region}"
    _tell(hints, as_json, f"{told} {'would' if dry_run else 'will'} be read again.")


def parse_since(text: str, now: int) -> int:
    """Milliseconds since the epoch. Raises `typer.BadParameter`."""
    if text == BEGINNING:
        return 0
    span = _SPAN.fullmatch(text)
    if span is not None:
        return max(0, now - int(span[1]) * _SPAN_MS[span[2]])
    try:
        time = datetime.fromisoformat(text)
        known = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return max(0, int(known.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-11-23T08:00, 2h, or beginning", param_hint="--from"
        ) from None


def _hints_for(settings: Settings, uuid: str, region: str | None, kind: KindName | None) -> list[Hint]:
    from pipeline.core.entities import Kind
    from pipeline.hints import Hint
    from pipeline.outbox.lookup import find

    names = [one.name for one in settings.active if region in (None, one.name)]
    if not names:
        raise CommandError(f"region {region} is not active: nothing reads it")
    with opened(settings) as engine:
        entities = find(engine, uuid)
    time = now_ms()
    if entities:
        return [
            Hint(name, one.kind, one.locals.get(name, one.uuid), time) for one in entities for name in names
        ]
    if region is None or kind is None:
        raise CommandError(
            f"no entity with the UUID {uuid} is known: add --region and --kind, and it is read there"
        )
    return [Hint(region, Kind(kind.value), uuid, time)]


async def _changed(settings: Settings, region: str, from_ms: int) -> list[Hint]:
    from pipeline.cloudstack.client import CloudStack
    from pipeline.cloudstack.eventlog import read_events
    from pipeline.hints import changed
    from pipeline.reach import client_settings

    client = CloudStack(client_settings(settings.region(region)), clock=now_ms)
    try:
        return await changed(region, read_events(client, from_ms))
    finally:
        await client.aclose()


def _send(settings: Settings, hints: list[Hint]) -> None:
    from pipeline.broker import brokers
    from pipeline.hints import send

    where = brokers(settings)
    if hints:
        asyncio.run(send(where, settings.kafka_options, hints))


def _tell(hints: list[Hint], as_json: bool, sentence: str) -> None:
    rows = [{key: value for key, value in asdict(one).items() if key != "event"} for one in hints]
    if as_json:
        print_json({"hints": len(rows), "entities": rows})
        return
    if rows:
        print_table(
            ("region", "kind", "uuid", "time"), [{**row, "time": moment(row["time"])} for row in rows]
        )
    print(sentence)


def _regions(hints: list[Hint]) -> str:
    return "region" if len(hints) == 1 else "regions"
