"""What librdkafka's options say about access, and what could not be told to Faust's client."""

from __future__ import annotations

import pytest

from pipeline.core.access import Access, parse

SCRAM = {
    "security.protocol": "sasl_ssl",
    "sasl.mechanisms": "scram-sha-512",
    "sasl.username": "u",
    "sasl.password": "hush",
}


@pytest.mark.parametrize(
    ("options", "access"),
    [
        ({}, Access()),
        ({"linger.ms": "5"}, Access()),
        (SCRAM, Access("SASL_SSL", "SCRAM-SHA-512", "u", "hush")),
        (
            {**SCRAM, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
            Access("SASL_PLAINTEXT", "PLAIN", "u", "hush"),
        ),
        (
            {
                "security.protocol": "SSL",
                "ssl.ca.location": "/ca",
                "ssl.certificate.location": "/c",
                "ssl.key.location": "/k",
                "ssl.key.password": "hush",
            },
            Access("SSL", ca="/ca", certificate="/c", key="/k", key_password="hush"),
        ),
        (
            {"security.protocol": "ssl", "enable.ssl.certificate.verification": "False"},
            Access("SSL", verified=False),
        ),
        (
            {"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"},
            Access("SSL", named=False),
        ),
    ],
)
def test_read(options: dict[str, str], access: Access) -> None:
    assert parse(options) == access
    assert "hush" not in repr(parse(options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"security.protocol": "TLS"}, "security.protocol is none of PLAINTEXT"),
        ({**SCRAM, "sasl.mechanisms": "GSSAPI"}, "sasl.mechanism is none of PLAIN"),
        ({**SCRAM, "sasl.password": ""}, "SASL_SSL needs sasl.username and sasl.password"),
        ({"sasl.username": "u", "sasl.password": "hush"}, "need security.protocol SASL_SSL"),
        ({"ssl.ca.location": "/ca"}, "need security.protocol SASL_SSL or SSL"),
        ({**SCRAM, "ssl.key.location": "/k"}, "need each other"),
        ({**SCRAM, "ssl.keystore.location": "/k"}, "ssl.keystore.location cannot be given to all"),
        ({**SCRAM, "sasl.oauthbearer.config": "hush"}, "sasl.oauthbearer.config cannot be given to all"),
    ],
)
def test_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse(options)
    assert "hush" not in str(caught.value)
