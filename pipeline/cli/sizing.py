"""The command `size`: what to set for a load, and what the database and the regions have to hold for it.

In: changes a second, how many regions, how long a call takes; the settings, where they are to be compared.
Out: a table, what the settings should say instead, and a sentence for each thing that does not hold the load.
It reaches nothing, and needs no settings where `--regions` is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from pipeline.cli.options import DEFAULT_CONFIG, AsJson
from pipeline.cli.output import print_json, print_table

if TYPE_CHECKING:
    from pipeline.core.sizing import Load, Size
    from pipeline.settings import Settings

T = TypeVar("T", int, float)

PAGE: Final = "docs/scaling.md"

Changes = Annotated[
    float,
    typer.Option(
        "--changes", metavar="NUMBER", help="Changes a second, in all regions together, in a busy hour."
    ),
]
Regions = Annotated[
    int | None,
    typer.Option("--regions", metavar="NUMBER", help="How many regions.", show_default="the settings'"),
]
Latency = Annotated[
    float, typer.Option("--latency", metavar="MS", help="How long one API call to a region takes, in ms.")
]
Peak = Annotated[
    float,
    typer.Option("--peak", metavar="NUMBER", help="How many times as many come in the busiest minutes."),
]
Days = Annotated[
    float | None,
    typer.Option(
        "--days",
        metavar="NUMBER",
        help="How long what is over is kept.",
        show_default="the settings' retention.outbox_days, or 30",
    ),
]
Compared = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="REGION_SYNC_CONFIG",
        metavar="FILE",
        help="The settings to compare with.",
        show_default=f"{DEFAULT_CONFIG} where --regions is not given",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(name="size", epilog="Example: region-sync size --changes 20 --regions 10 --latency 50")(size)


def size(
    changes: Changes,
    regions: Regions = None,
    latency: Latency = 50,
    peak: Peak = 2,
    days: Days = None,
    config: Compared = None,
    as_json: AsJson = False,
) -> None:
    """Work out lanes, workers, hubs and partitions for a load, and what the database has to hold.

    From measured costs; reaches nothing. With the settings it says what to change in them.
    """
    from pipeline.core import sizing

    settings = _settings(config, regions)
    load = sizing.Load(
        changes,
        _said(regions, len(settings.active) if settings else 0),
        latency,
        peak,
        _said(days, settings.retention.outbox_days if settings else sizing.DAYS),
    )
    try:
        found = sizing.size(load)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    advice = list(_advice(found, settings)) if settings else []
    if as_json:
        told = {"exhausted": [one.what for one in found.exhausted(load)], "change": advice}
        print_json({"load": asdict(load), "size": asdict(found), **told})
        return
    print_table(("what", "how much", "of it"), list(_rows(load, found)))
    for line in (*advice, *sentences(load, found)):
        print(line)


def _said(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _settings(config: Path | None, regions: int | None) -> Settings | None:
    if config is None and regions is not None:
        return None
    from pipeline.config.roles import HUB
    from pipeline.settings import load

    return load(config or DEFAULT_CONFIG, HUB)


def _rows(load: Load, found: Size) -> Iterator[dict[str, str]]:
    """For a table."""
    days = f"{load.days:g} days"
    for what, much, of_it in (
        ("lanes", f"{found.lanes}", "of each worker"),
        ("workers", f"{found.workers}", "of each region; a second one takes over when the first one ends"),
        ("hubs", f"{found.hubs}", "likewise"),
        ("partitions", f"{found.partitions}", "of each topic"),
        (
            "API calls",
            f"{found.calls_per_s:,.0f}/s",
            "in each region, in the busiest minutes, as all of these:",
        ),
        ("messages", f"{found.messages_per_s:,.0f}/s", "into Kafka"),
        ("rows", f"{found.rows_per_s:,.0f}/s", "into the outbox"),
        ("cores", f"{found.database_cores:.1f}", "of the database"),
        ("log", f"{found.log_mib_per_s:.1f} MiB/s", "written by the database before all else"),
        ("disk", f"{found.disk_gib:,.0f} GiB", f"of the database for {days}, if every hour is a busy one"),
    ):
        yield {"what": what, "how much": much, "of it": of_it}


def sentences(load: Load, found: Size) -> list[str]:
    """What does not hold the load; where all does, what is exhausted first."""
    beyond = found.exhausted(load)
    if not beyond:
        first = found.ceilings[0]
        return [f"First exhausted: {first.what}, at {first.changes_per_s:,.3g} changes a second."]
    return [
        f"Too much for {one.what}: it holds {one.changes_per_s:,.3g} changes a second; {one.cure}."
        for one in beyond
    ]


def _advice(found: Size, settings: Settings) -> Iterator[str]:
    """What the settings should say instead."""
    for region in settings.active:
        if region.lanes < found.lanes:
            yield f"Set lanes: {found.lanes} for {region.name}, which has {region.lanes}."
    if settings.embedded:
        if max(found.workers, found.hubs) > 1:
            yield "Set kafka: the brokers of a real Kafka, since the embedded one is of one process."
    elif settings.partitions < found.partitions:
        yield f"Grow the topics to {found.partitions} partitions; they have {settings.partitions} ({PAGE})."
