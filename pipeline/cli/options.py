"""The options that several commands share, and the exit codes that all of them keep to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
DIFFERENT: Final = 2
"""As drift tools have it: something differs, or is left to be done."""
INTERRUPTED: Final = 130


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class KindName(StrEnum):
    """The kinds of entity, as CloudStack calls them."""

    DOMAIN = "Domain"
    ACCOUNT = "Account"
    USER = "User"


class State(StrEnum):
    """The life of an outbox row."""

    PENDING = "pending"
    PUBLISHED = "published"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    HELD = "held"
    DEAD = "dead"


Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="REGION_SYNC_CONFIG",
        metavar="FILE",
        help="The settings; regions.example.yaml explains every key.",
    ),
]
DEFAULT_CONFIG: Final = Path("regions.yaml")

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="REGION_SYNC_URL",
        metavar="URL",
        help="Ask the process that serves its pages there, instead of the database of the settings.",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="REGION_SYNC_WEB_TOKEN",
        metavar="TEXT",
        help="With --url: its web.token, best from the environment: others may read a command line.",
        show_default=False,
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
LogLevel = Annotated[
    Level | None,
    typer.Option(
        "--log-level", help="How much is logged, to standard error.", show_default="the settings' log_level"
    ),
]
OwnLevel = Annotated[Level, typer.Option("--log-level", help="How much is logged, to standard error.")]
ThisRegion = Annotated[str, typer.Option("--region", metavar="NAME", help="The region, by its name.")]
OneRegion = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="Only this region, by its name.")
]
