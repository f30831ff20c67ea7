"""Gets Faust's client into Kafka as librdkafka gets in: the same log-in, the same authorities.

In: librdkafka's options. Out: Faust's credentials, or None for a Kafka that asks for none. Called by
`pipeline.app` when it builds an app; Faust hands them to its consumer and its producer alike.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import Final

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from pipeline.core.access import Access, parse
from pipeline.core.errors import PermanentError

TALKER: Final = "aiokafka.conn"
"""At debug it tells each request as it is: of the mechanism PLAIN, the password. Faust's own command line
would let it (`faust -A pipeline.worker worker -l debug`)."""


def credentials(options: Mapping[str, str]) -> Credentials | None:
    """Raises `PermanentError` for a file that can't be read."""
    access = parse(options)
    context = _context(access) if access.encrypted else None
    if access.logs_in:
        logging.getLogger(TALKER).setLevel(logging.INFO)
        return SASLCredentials(
            username=access.username,
            password=access.password,
            mechanism=access.mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


def _context(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca or None)
        if access.certificate:
            context.load_cert_chain(access.certificate, access.key, access.key_password or None)
    except OSError as error:  # ssl.SSLError is one
        raise PermanentError(f"kafka_options: the files of ssl.… cannot be used: {error}") from error
    context.check_hostname = access.named and access.verified
    if not access.verified:
        context.verify_mode = ssl.CERT_NONE
    return context
