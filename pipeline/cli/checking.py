"""The command `check`: reads the settings, reaches everything that they name, and says what it found.

In: the settings' file. Out: a table of findings; exit code 1 when one of them is a failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import DEFAULT_CONFIG, FAILED, AsJson, Config
from pipeline.cli.output import print_json, print_table

if TYPE_CHECKING:
    from pipeline.check.finding import Finding


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

    findings = asyncio.run(examine(settings))
    tell(findings, as_json)
    raise typer.Exit(0 if passed(findings) else FAILED)


def tell(findings: Sequence[Finding], as_json: bool) -> None:
    """Prints what was found."""
    if as_json:
        print_json({"ok": passed(findings), "findings": [asdict(one) for one in findings]})
    else:
        rows = [{**asdict(one), "result": str(one.verdict)} for one in findings]
        print_table(("region", "what", "result", "detail"), rows)


def passed(findings: Sequence[Finding]) -> bool:
    """Whether none of them is a failure."""
    return all(one.verdict != "fail" for one in findings)
