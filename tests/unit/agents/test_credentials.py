"""Faust's client gets into Kafka as librdkafka does."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from pipeline.agents.credentials import credentials
from pipeline.core.errors import PermanentError
from tests.services.certificates import Authority

SCRAM = {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "u", "sasl.password": "Canary-1"}


def test_a_kafka_without_anything_wants_nothing() -> None:
    assert credentials({"linger.ms": "5"}) is None


def test_a_log_in_over_tls_trusts_the_one_authority_and_looks_at_the_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    made = credentials({**SCRAM, "security.protocol": "SASL_SSL", "ssl.ca.location": str(authority.ca)})
    assert isinstance(made, SASLCredentials)
    assert "Canary" not in repr(made)
    handed = credentials_to_aiokafka_auth(made)
    context = handed.pop("ssl_context")
    assert handed == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "u",
        "sasl_plain_password": "Canary-1",
    }
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    (known,) = context.get_ca_certs()
    assert known["subject"] == known["issuer"]


def test_a_log_in_without_tls() -> None:
    made = credentials({**SCRAM, "security.protocol": "SASL_PLAINTEXT"})
    assert credentials_to_aiokafka_auth(made)["ssl_context"] is None


def test_a_log_in_is_told_to_no_log(caplog: pytest.LogCaptureFixture) -> None:
    credentials({**SCRAM, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"})
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "aiokafka"):
        assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)


def test_tls_without_a_log_in_with_a_certificate_of_our_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    ours = authority.certificate("client")
    files = {
        "ssl.ca.location": str(authority.ca),
        "ssl.certificate.location": str(ours.chain),
        "ssl.key.location": str(ours.key),
    }
    made = credentials({**files, "security.protocol": "SSL"})
    assert isinstance(made, SSLCredentials)
    with pytest.raises(PermanentError, match="cannot be used"):
        credentials({**files, "security.protocol": "SSL", "ssl.key.location": str(authority.ca)})


@pytest.mark.parametrize(
    ("option", "checks", "names"),
    [
        ({}, ssl.CERT_REQUIRED, True),
        ({"enable.ssl.certificate.verification": "false"}, ssl.CERT_NONE, False),
        ({"ssl.endpoint.identification.algorithm": "none"}, ssl.CERT_REQUIRED, False),
    ],
)
def test_what_librdkafka_does_not_check_is_not_checked_here_either(
    option: dict[str, str], checks: ssl.VerifyMode, names: bool
) -> None:
    made = credentials({**SCRAM, "security.protocol": "SASL_SSL", **option})
    assert isinstance(made, SASLCredentials) and made.ssl_context is not None
    assert (made.ssl_context.verify_mode, made.ssl_context.check_hostname) == (checks, names)
