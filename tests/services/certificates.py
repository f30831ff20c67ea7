"""Certificates for tests of TLS: an authority of the test's own, and what it has signed.

In: a folder. Out: PEM files. `Authority` is trusted by whoever is given `ca`; two of them do not know each
other. Called by `secured` and by tests that break a certificate on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A server's, or a client's: the chain, its key, and both in one file as Kafka wants them (PKCS #8)."""

    chain: Path
    key: Path
    both: Path


class Authority:
    """Signs whatever a test asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def certificate(self, host: str = HERE, valid: timedelta = timedelta(days=1)) -> Certificate:
        """For that host name or address alone; a negative `valid` has expired."""
        name = f"{host}{'' if valid > timedelta(0) else '-expired'}"
        ends = datetime.now(UTC) + valid
        made = self._ca.issue_cert(host, not_before=ends - timedelta(days=30), not_after=ends)
        key = load_pem_private_key(made.private_key_pem.bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        written = Certificate(*(self.folder / f"{name}.{part}.pem" for part in ("chain", "key", "both")))
        for path, content in ((written.chain, chain), (written.key, pkcs8), (written.both, pkcs8 + chain)):
            path.write_bytes(content)
        return written
