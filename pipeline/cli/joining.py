"""The command `join`: whether a region may join.

In: the settings' file, a region's name. Out: a table of findings; exit code 1 when one of them is a failure.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer

from pipeline.cli.auditing import opened
from pipeline.cli.checking import passed, tell
from pipeline.cli.options import DEFAULT_CONFIG, FAILED, AsJson, Config


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync join tokyo -c regions.yaml")(join)


def join(
    name: Annotated[str, typer.Argument(metavar="REGION", help="The region, by its name; active or not.")],
    config: Config = DEFAULT_CONFIG,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test/--no-self-test",
            help="Make a domain there to see whether its event comes, and remove it again.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check whether a region may join the others.

    Writes nothing, but for the self-test: a domain region-sync-probe-… under ROOT, which no region takes over
    and which is removed again, by the next run if this one is killed. Exit code 1 when it may not join.
    """
    from pipeline.settings import Role, load

    settings = load(config, Role("join", name))
    region = settings.region(name)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries would log is in the findings
    with opened(settings) as engine:
        from pipeline.check.joining import examine_joining

        findings = asyncio.run(examine_joining(settings, region, engine, self_test))
        tell(findings, as_json)
        if not passed(findings):
            raise typer.Exit(FAILED)
        # Here, with the engine still open, follows what the joining would take: only what passed goes on.
