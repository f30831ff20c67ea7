"""`python -m tests.secured.loud …` is `region-sync …` with every library's log at its most talkative."""

from __future__ import annotations

import logging
from typing import TextIO

from pipeline import telemetry
from pipeline.cli.program import main

LIBRARIES = (
    *telemetry.TALKATIVE,
    telemetry.STATEMENTS,
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "httpx",
    "httpcore",
    "httpx_aiohttp",
    "aiohttp",
    "confluent_kafka",
    "pymysql",
)
_set_up = telemetry.set_up


def set_up(level: str, stream: TextIO | None = None) -> None:
    _set_up(level, stream)
    logging.getLogger().setLevel(logging.DEBUG)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG)


if __name__ == "__main__":
    telemetry.set_up = set_up
    main()
