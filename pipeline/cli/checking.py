"""The command `check`: reads the settings, reaches everything that they name, and says what it found.

In: the settings' file. Out: a table of findings; exit code 1 when one of them is a failure.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict

import typer

from pipeline.cli.options import DEFAULT_CONFIG, FAILED, AsJson, Config
from pipeline.cli.output import print_json, print_table


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync check -c regions.yaml")(check)


def check(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Reach every service and region; check permissions, clocks and topics.

    Changes nothing anywhere. Exit code 1 when something would not work.
    """
    from pipeline.settings import load

    settings = load(config)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries would log is in the findings
    from pipeline.check.everything import examine
    from pipeline.check.finding import Verdict

    findings = asyncio.run(examine(settings))
    failures = sum(one.verdict is Verdict.FAIL for one in findings)
    if as_json:
        print_json({"ok": not failures, "findings": [asdict(one) for one in findings]})
    else:
        rows = [{**asdict(one), "result": str(one.verdict)} for one in findings]
        print_table(("region", "what", "result", "detail"), rows)
    raise typer.Exit(FAILED if failures else 0)
