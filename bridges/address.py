"""Where a region's bus is and how to log in there, over TLS too.

In: an AMQP URL, and the files that TLS needs. Out: pika's parameters. Raises `ValueError` with a sentence
that never shows the URL. Called by `rabbitmq` and by `region-sync check`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import pika


@dataclass(frozen=True, slots=True)
class Trust:
    """PEM files: `ca`, the authority that signed the broker's certificate (empty: those of the system);
    `certificate` and `key`, our own, for a broker that asks for one."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


def parameters(url: str, trust: Trust) -> pika.URLParameters:
    """`amqps` always checks the broker's certificate and its host name."""
    try:
        found = pika.URLParameters(url)
    except Exception as error:  # noqa: BLE001 - pika raises many kinds, and some quote the URL with its password
        raise ValueError(f"the bus's URL cannot be read ({type(error).__name__})") from None
    if found.ssl_options is not None:
        found.ssl_options = pika.SSLOptions(_context(trust), found.host)
    return found


def _context(trust: Trust) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.ca or None)
        if trust.certificate:
            context.load_cert_chain(trust.certificate, trust.key or None)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"the bus's TLS files cannot be used: {error}") from None
    return context
