"""How to get into a Kafka: read from librdkafka's options, for clients that do not know them.

In: the options as the settings hold them. Out: an `Access`, or `ValueError` with a sentence that shows no
value of a secret option. Called by the settings (so that a wrong option ends the start), by the agents (for
Faust's client, which must get in as librdkafka does) and by `check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_PREFIXES: Final = ("security.", "sasl.", "ssl.", "enable.ssl.")
_KNOWN: Final = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)
"""What both clients can be told; anything else about access would be heeded by one of them only."""


@dataclass(frozen=True, slots=True)
class Access:
    """`ca`, `certificate` and `key` are files; empty: the system's authorities, no certificate of our own.
    `verified`: whether the broker's certificate is checked; `named`: its host name too."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    verified: bool = True
    named: bool = True

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def logs_in(self) -> bool:
        return self.protocol.startswith("SASL")

    @property
    def files(self) -> tuple[str, ...]:
        """Those that must be there."""
        return tuple(file for file in (self.ca, self.certificate, self.key) if file)


def parse(options: Mapping[str, str]) -> Access:
    """Raises `ValueError` for what one of the two clients could not do."""
    unknown = sorted(key for key in options if key.startswith(_PREFIXES) and key not in _KNOWN)
    if unknown:
        known = ", ".join(sorted(_KNOWN))
        raise ValueError(f"{unknown[0]} cannot be given to all of our clients: those that can are {known}")
    access = Access(
        protocol=options.get("security.protocol", "plaintext").upper(),
        mechanism=(options.get("sasl.mechanism") or options.get("sasl.mechanisms") or "").upper(),
        username=options.get("sasl.username", ""),
        password=options.get("sasl.password", ""),
        ca=options.get("ssl.ca.location", ""),
        certificate=options.get("ssl.certificate.location", ""),
        key=options.get("ssl.key.location", ""),
        key_password=options.get("ssl.key.password", ""),
        verified=options.get("enable.ssl.certificate.verification", "true").lower() not in ("false", "0"),
        named=options.get("ssl.endpoint.identification.algorithm", "https").lower() != "none",
    )
    _check(access)
    return access


def _check(access: Access) -> None:
    if access.protocol not in PROTOCOLS:
        raise ValueError(f"security.protocol is none of {', '.join(PROTOCOLS)}")
    if access.logs_in and access.mechanism not in MECHANISMS:
        raise ValueError(f"sasl.mechanism is none of {', '.join(MECHANISMS)}")
    if access.logs_in and not (access.username and access.password):
        raise ValueError(f"{access.protocol} needs sasl.username and sasl.password")
    if not access.logs_in and (access.username or access.password):
        raise ValueError("sasl.username and sasl.password need security.protocol SASL_SSL: set it")
    if bool(access.certificate) != bool(access.key):
        raise ValueError("ssl.certificate.location and ssl.key.location need each other: give both")
    if access.files and not access.encrypted:
        raise ValueError("the ssl.… options need security.protocol SASL_SSL or SSL: set it")
