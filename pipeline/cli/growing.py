"""The command `grow`: more partitions for the topics, while no hub and no worker runs.

In: the settings' file, whose `partitions` is how many there are to be. Out: a line for each step. It needs
Kafka and the database, and no region's secret.
"""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config, Level, OwnLevel
from pipeline.cli.output import print_json


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync grow -c regions.yaml")(grow)


def grow(
    config: Config = DEFAULT_CONFIG, as_json: AsJson = False, log_level: OwnLevel = Level.WARNING
) -> None:
    """Give all topics as many partitions as the settings say, and each message its new place.

    Stop the hubs and all workers first, and start them afterwards: nothing is lost meanwhile, and each
    entity keeps its order. Bridges may go on. Cut off, say it again.
    """
    from pipeline import telemetry
    from pipeline.config.roles import HUB
    from pipeline.growing import grow as carry_out
    from pipeline.settings import load

    telemetry.set_up(log_level)
    settings = load(config, HUB)
    done = carry_out(settings, (lambda _: None) if as_json else print)
    if as_json:
        print_json(asdict(done))
    elif done.before or done.moved:
        print(f"All topics have {done.partitions} partitions: start the hubs and workers again.")
    else:
        print(f"All topics have {done.partitions} partitions already, and all messages are in their place.")
