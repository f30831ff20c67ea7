"""The commands that run until they are stopped: everything at once, its parts one by one, demo and sandbox.

In: options. Out: the exit code of what ran. What they start is imported when it is started.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import dumps, telemetry
from pipeline.cli.options import DEFAULT_CONFIG, Config, Level, LogLevel, OwnLevel, ThisRegion

Regions = Annotated[int, typer.Option("--regions", min=1, max=50, metavar="N", help="How many regions.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Same seed, same UUIDs, keys and changes.")]
LoseEvents = Annotated[
    float,
    typer.Option(
        "--lose-events",
        min=0,
        max=1,
        metavar="SHARE",
        help="Give the regions buses that lose this share of their events.",
        show_default="event logs, which lose none",
    ),
]

Newcomer = Annotated[
    bool, typer.Option("--newcomer", help="One more region, with data of its own, that has not joined yet.")
]
CarriedKeys = Annotated[
    bool,
    typer.Option("--credentials", help="Carry users' keys and passwords too; call and log in everywhere."),
]


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command(epilog="Example: region-sync demo --changes 200 --exit")(demo)
    app.command(epilog="Example: region-sync run -c regions.yaml")(run)
    app.command(epilog="Example: region-sync bridge --region berlin -c regions.yaml")(bridge)
    worker = typer.Typer(no_args_is_help=True, help="The pipeline's processes, one each: the hub, a region.")
    worker.command(epilog="Example: region-sync worker hub -c regions.yaml")(hub)
    worker.command(epilog="Example: region-sync worker region --region berlin -c regions.yaml")(region)
    app.add_typer(worker, name="worker")
    app.command(epilog="Example: region-sync sandbox --regions 3 --port 8081")(sandbox)


def demo(
    changes: Annotated[
        int | None,
        typer.Option(
            "--changes", min=1, metavar="N", help="Stop after so many changes.", show_default="go on"
        ),
    ] = None,
    exit_after: Annotated[bool, typer.Option("--exit", help="Exit after the verdict.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as one JSON object.")] = False,
    regions: Regions = 3,
    seed: Seed = 1,
    rate: Annotated[
        float, typer.Option("--rate", min=0, metavar="R", help="Changes a second; 0: as fast as they go.")
    ] = 20.0,
    lose_events: LoseEvents = 0.0,
    newcomer: Newcomer = False,
    credentials: CarriedKeys = False,
    log_level: OwnLevel = Level.WARNING,
) -> None:
    """Show it: simulated regions, changes in all of them, and whether they end equal.

    Needs no service and no settings. Exit code 0 when all regions are equal.
    """
    telemetry.set_up(log_level)
    from pipeline.demo import DemoOptions
    from pipeline.demo import demo as show

    options = DemoOptions(
        regions=regions,
        changes=changes,
        exit=exit_after,
        json=as_json,
        seed=seed,
        rate=rate,
        lose_events=lose_events,
        newcomer=newcomer,
        credentials=credentials,
    )
    raise typer.Exit(show(options))


def run(config: Config = DEFAULT_CONFIG, log_level: LogLevel = None) -> None:
    """Run everything in one process: bridges, hub and region workers.

    With `kafka: embedded` no other service is needed; with real addresses in the settings it uses those.
    """
    from pipeline.settings import load

    dumps.forbid()
    settings = load(config)
    telemetry.set_up(log_level or settings.log_level)
    from pipeline.run import run as run_all

    raise typer.Exit(run_all(settings))


def bridge(region: ThisRegion, config: Config = DEFAULT_CONFIG, log_level: LogLevel = None) -> None:
    """Run one region's bridge: its bus, or its event log, into Kafka.

    A second one for the same region waits as a spare.
    """
    from pipeline.settings import Role, load

    dumps.forbid()
    settings = load(config, Role("bridge", region))
    telemetry.set_up(log_level or settings.log_level)
    from pipeline.cli.bridge import run as run_one

    raise typer.Exit(run_one(settings, settings.region(region)))


def hub(config: Config = DEFAULT_CONFIG, log_level: LogLevel = None) -> None:
    """Run the hub: it merges what the regions hold and says what each should hold."""
    from pipeline.settings import HUB, load

    dumps.forbid()
    settings = load(config, HUB)
    telemetry.set_up(log_level or settings.log_level)
    from pipeline.worker import hub as run_hub

    raise typer.Exit(run_hub(settings))


def region(region: ThisRegion, config: Config = DEFAULT_CONFIG, log_level: LogLevel = None) -> None:
    """Run one region's worker: it reads that region and applies changes to it."""
    from pipeline.settings import Role, load

    dumps.forbid()
    settings = load(config, Role("worker", region))
    telemetry.set_up(log_level or settings.log_level)
    from pipeline.worker import region as run_region

    raise typer.Exit(run_region(settings, region))


def sandbox(
    regions: Regions = 2,
    amqp: Annotated[
        str | None, typer.Option("--amqp", metavar="URL", help="Publish to this RabbitMQ, an exchange each.")
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65_000,
            metavar="P",
            help="The first region's port, then one up each; 0: any free ones.",
        ),
    ] = 0,
    latency: Annotated[
        str,
        typer.Option(
            "--latency",
            metavar="real|none|MS",
            help="As slow as a real region, at once, or so many ms a call.",
        ),
    ] = "none",
    seed: Seed = 1,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 inside a container.")
    ] = "127.0.0.1",
    log_level: OwnLevel = Level.WARNING,
) -> None:
    """Run simulated CloudStack regions alone, for tests and for trying out.

    Prints one line of JSON: each region's name, endpoint, exchange and keys.
    """
    if latency not in ("real", "none") and not latency.isdecimal():
        raise typer.BadParameter("real, none, or a number of milliseconds", param_hint="--latency")
    telemetry.set_up(log_level)
    from pipeline.sandbox.launch import SandboxOptions, serve

    serve(SandboxOptions(regions=regions, amqp_url=amqp, port=port, latency=latency, seed=seed, host=host))
