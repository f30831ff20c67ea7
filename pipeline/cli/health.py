"""The command `health`: asks a process of ours how it is, for a supervisor that knows commands and no HTTP
(a container's health check).

In: the address that the process answers at. Out: one line, and the exit code: 0 well, 1 not. Nothing of the
settings is read, so that asking costs little and needs no secret.
"""

from __future__ import annotations

from http.client import HTTPException
from typing import Annotated, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import typer

from pipeline.cli.options import FAILED, OK

TIMEOUT_S: Final = 8.0
"""Readiness asks database and Kafka, each for up to 3 s."""
ANSWER_MAX: Final = 64 * 1024
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
"""As in `metrics.routes`, which is not loaded to ask somebody else."""
_NOT_READY: Final = 503

Url = Annotated[
    str,
    typer.Option(
        "--url", envvar="REGION_SYNC_HEALTH_URL", metavar="URL", help="Where the process answers over HTTP."
    ),
]
Ready = Annotated[
    bool, typer.Option("--ready", help="Also whether it has its partitions, database, Kafka and source.")
]


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync health --url http://127.0.0.1:6067")(health)


def health(url: Url = "http://127.0.0.1:6066", ready: Ready = False) -> None:
    """Ask a hub, a worker, a bridge or a run whether it is alive.

    Exit code 0: it says so; 1: it says no, or nothing. A container's health check.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise typer.BadParameter(f"{url!r} is no address: write http://127.0.0.1:6066", param_hint="--url")
    well, said = _asked(url.rstrip("/") + (READY if ready else LIVE))
    print(said)
    raise typer.Exit(OK if well else FAILED)


def _asked(address: str) -> tuple[bool, str]:
    """Whether it is well, and its own words. No proxy of the environment comes between."""
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=TIMEOUT_S) as response:
            return True, _text(response.read(ANSWER_MAX))
    except HTTPError as error:
        with error:
            said = _text(error.read(ANSWER_MAX)) if error.code == _NOT_READY else f"HTTP {error.code}"
            return False, f"{address}: {said}"
    except (OSError, HTTPException) as error:
        return False, f"{address} does not answer: {getattr(error, 'reason', None) or error}"


def _text(raw: bytes) -> str:
    return " ".join(raw.decode("utf-8", "replace").split())
