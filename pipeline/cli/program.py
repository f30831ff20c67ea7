"""The table of contents of the command line, and its front door.

In: the arguments of the process. Out: its exit code: 0 done, 1 failed, 2 wrong use or wrong settings, 130
interrupted; an expected failure is one sentence on standard error. Called by the console script and by
`python -m pipeline`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline.cli import (
    asking,
    auditing,
    checking,
    exposing,
    growing,
    health,
    holding,
    joining,
    migrating,
    planning,
    replaying,
    running,
    scanning,
    sealing,
    sizing,
    standing,
    telling,
    verifying,
)
from pipeline.cli.failures import explain
from pipeline.cli.options import FAILED, INTERRUPTED

ABOUT = """Keeps the Domains, Accounts and Users of several Apache CloudStack regions the same.

A change made in one region reaches the others; nothing is lost in an outage; every step is audited.
Exit codes: 0 done, 1 failed, 2 wrong use or wrong settings, 130 interrupted."""

Command = typer.Typer


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"region-sync {version('cloudstack-region-sync')}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Only `--version` is the program's own."""


def build() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="region-sync",
        help=ABOUT,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback(help=ABOUT)(_top)
    for part in (
        running,
        checking,
        health,
        migrating,
        growing,
        standing,
        auditing,
        telling,
        exposing,
        holding,
        asking,
        scanning,
        planning,
        replaying,
        joining,
        sealing,
        sizing,
        verifying,
    ):
        part.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process."""
    sys.exit(call(sys.argv[1:] if arguments is None else arguments))


def call(arguments: Sequence[str]) -> int:
    """Runs one command; returns its exit code."""
    try:
        build()(list(arguments), prog_name="region-sync")
    except SystemExit as ended:
        return _code(ended)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `region-sync outbox list | head`
        sys.stdout = None  # nothing more can be flushed into it
        return FAILED
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        for line in told[0].splitlines():
            print(f"region-sync: {line}", file=sys.stderr)
        return told[1]
    return 0


def _code(ended: SystemExit) -> int:
    return ended.code if isinstance(ended.code, int) else FAILED * bool(ended.code)
