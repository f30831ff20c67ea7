"""Which of the ways that the settings name cross a network unprotected.

In: settings, filled in for one process. Out: a sentence for each way that this process goes. Called by
`region-sync check`, which warns of them, and by the processes at their start, which log them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pipeline.config import database
from pipeline.settings import Region, Settings

HERE: Final = ("", "localhost", "127.0.0.1", "::1")
"""What goes no further than this machine needs no protection."""

log = logging.getLogger(__name__)


def of_all(settings: Settings) -> Iterator[str]:
    """What the regions share: Kafka and the database."""
    yield from _kafka(settings)
    url = settings.database.get_secret_value()
    host = database.host(url)
    if host not in HERE and not database.encrypted(url):
        yield (
            f"database: {host} is reached without a certificate that is checked: what is kept of all "
            "accounts can be read and changed on the way; add ?ssl_ca=FILE to the URL"
        )


def of_region(region: Region) -> Iterator[str]:
    """Its API and its bus, as far as this process has a log-in there."""
    url = urlsplit(region.host)
    if (region.api_key or region.password) and url.scheme == "http" and url.hostname not in HERE:
        yield "host is http: keys and changes cross the network unprotected; write https"
    users = region.user_database.get_secret_value() if region.user_database else ""
    if users and database.host(users) not in HERE and not database.encrypted(users):
        yield "user_database: its password and users' hashes cross the network unprotected; add ?ssl_ca=FILE"
    bus = urlsplit(region.bus.url.get_secret_value()) if region.bus.url else None
    if bus is not None and bus.scheme == "amqp" and bus.hostname not in HERE:
        yield "bus.url is amqp: its password and the events cross the network unprotected; write amqps"


def tell(settings: Settings, *regions: Region) -> None:
    """A line of the log for each, at the start of the hub (no region), or of a region's worker or bridge."""
    for words in of_all(settings):
        log.warning("%s", words)
    for region in regions:
        for words in of_region(region):
            log.warning("region %s: %s", region.name, words)


def _kafka(settings: Settings) -> Iterator[str]:
    if settings.embedded:
        return
    access = settings.kafka_options.access
    away = [one for one in settings.kafka.split(",") if one.rpartition(":")[0].strip("[]") not in HERE]
    if away and not access.encrypted:
        yield (
            f"kafka: {away[0]} is reached without TLS: who is on the way can change every region; "
            "set security.protocol to SASL_SSL"
        )
    elif access.encrypted and not (access.verified and access.named):
        yield "kafka_options: the broker's certificate is not checked in full: an impostor is believed"
