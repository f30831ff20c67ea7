"""The command `migrate`: brings the tables up to this release before any of its processes starts.

In: the settings' file, of which only `database` is needed. Out: one line. Each process does the same at its
start; where many start together, or their database users may change no tables, this is run first.
"""

from __future__ import annotations

from typing import Final

import typer

from pipeline.cli.options import DEFAULT_CONFIG, AsJson, Config
from pipeline.cli.output import print_json

_TOLD: Final = {
    "missing": "the tables are made",
    "older": "the tables are brought up to this version",
    "current": "the tables are this version's already",
    "newer": "the tables are of a newer version, and stay as they are",
}


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync migrate -c regions.yaml")(migrate)


def migrate(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Make the database's tables, or bring them up to this version; again is no harm.

    Processes of the version before go on with them meanwhile.
    """
    from pipeline.config.roles import HUB
    from pipeline.outbox import engine
    from pipeline.outbox.lookup import tables
    from pipeline.settings import load

    url = load(config, HUB).database.get_secret_value()
    found = tables(url)
    engine.migrate(url)
    if as_json:
        print_json({"found": found, "now": tables(url)})
    else:
        print(_TOLD[found])
