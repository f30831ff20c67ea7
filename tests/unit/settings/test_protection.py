"""What the settings say about TLS, and the ways that they leave open."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline import unprotected
from pipeline.bridging import bridge_settings
from pipeline.reach import client_settings
from pipeline.settings import ALL, HUB, Role, Settings, SettingsError

REGION: dict[str, Any] = {"name": "r1", "host": "https://cloud", "api_key": "k", "secret_key": "s"}
SCRAM = {
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "u",
    "sasl.password": "Canary-1",
}


@pytest.fixture
def ca(tmp_path: Path) -> str:
    (tmp_path / "ca.pem").write_text("not looked into")
    return str(tmp_path / "ca.pem")


def read(role: Role = ALL, region: dict[str, Any] | None = None, **top: Any) -> Settings:
    return Settings.parse({"regions": [REGION | (region or {})], **top}, {}, role)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kafka_options": {"sasl.username": "u"}}, "kafka_options: sasl.username and sasl.password need"),
        ({"kafka_options": {**SCRAM, "ssl.ca.location": "/no/ca"}}, "kafka_options: there is no file /no/ca"),
        ({"kafka_options": {**SCRAM, "ssl.keystore.location": "x"}}, "cannot be given to all of our clients"),
        ({"database": "mysql+pymysql://u:Canary-1@h/n?ssl_ca=/no/ca"}, "database: there is no file /no/ca"),
        (
            {"database": "mysql+pymysql://u:Canary-1@h/n?ssl_check_hostname=0"},
            "ssl_check_hostname could turn",
        ),
        ({"database": "mysql+pymysql://u:Canary-1@h/n?ssl_disabled=1"}, "database: ssl_disabled could turn"),
        ({"database": "mysql+pymysql://u:Canary-1@h/n?ssl_cert=a&ssl_key=b"}, "need ssl_ca"),
    ],
)
def test_what_would_not_protect_is_refused_in_a_sentence(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**wrong)
    assert words in str(caught.value)
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("bus", "words"),
    [
        ({"url": "amqps://b", "tls_ca": "/no/ca"}, "bus.tls_ca: there is no file /no/ca"),
        (
            {"url": "amqps://u:Canary-1@b/?ssl_options={'a':1}"},
            "bus.url: ssl_options could turn the check off",
        ),
        ({"url": "amqps://b", "tls_certificate": "CA"}, "tls_certificate and tls_key need each other"),
        ({"url": "amqp://b", "tls_ca": "CA"}, "need an amqps:// address"),
    ],
)
def test_so_is_what_would_not_protect_a_bus(bus: dict[str, str], words: str, ca: str) -> None:
    given = {"source": "amqp"} | {key: ca if value == "CA" else value for key, value in bus.items()}
    with pytest.raises(SettingsError) as caught:
        read(region={"bus": given})
    assert words in str(caught.value)
    assert "Canary" not in str(caught.value)


def test_the_files_come_to_where_they_are_used(ca: str) -> None:
    bus = {"source": "amqp", "url": "amqps://b", "tls_ca": ca, "tls_certificate": ca, "tls_key": ca}
    settings = read(region={"tls_ca": ca, "bus": bus}, kafka="k:1", kafka_options=SCRAM)
    trust = bridge_settings(settings, settings.regions[0], "k:1").trust
    assert (trust.ca, trust.certificate, trust.key) == (ca, ca, ca)
    assert client_settings(settings.regions[0]).tls_ca == ca
    assert dict(settings.kafka_options) == SCRAM


AWAY = "mysql+pymysql://u:Canary-1@db.example/n"


def open_ways(settings: Settings) -> list[str]:
    return [
        *unprotected.of_all(settings),
        *(words for one in settings.regions for words in unprotected.of_region(one)),
    ]


@pytest.mark.parametrize(
    ("top", "region", "said"),
    [
        ({}, {}, []),
        ({"database": AWAY}, {}, ["database: db.example"]),
        ({"database": AWAY + "?ssl_ca=CA"}, {}, []),
        ({"database": AWAY.replace("db.example", "127.0.0.1")}, {}, []),
        ({"kafka": "localhost:1,k2:2"}, {}, ["kafka: k2:2"]),
        ({"kafka": "localhost:1,[::1]:2"}, {}, []),
        ({"kafka": "k2:2", "kafka_options": SCRAM}, {}, []),
        (
            {"kafka": "k2:2", "kafka_options": SCRAM | {"security.protocol": "SASL_PLAINTEXT"}},
            {},
            ["kafka: k2:2"],
        ),
        (
            {"kafka": "k2:2", "kafka_options": SCRAM | {"enable.ssl.certificate.verification": "false"}},
            {},
            ["kafka_options: the broker's certificate is not checked"],
        ),
        ({}, {"host": "http://cloud"}, ["host is http"]),
        ({}, {"user_database": AWAY}, ["user_database: its password"]),
        ({}, {"user_database": AWAY.replace("db.example", "localhost")}, []),
        ({}, {"host": "http://localhost:8080"}, []),
        ({}, {"bus": {"source": "amqp", "url": "amqp://u:Canary-1@b"}}, ["bus.url is amqp"]),
        ({}, {"bus": {"source": "amqp", "url": "amqps://u:Canary-1@b"}}, []),
    ],
)
def test_what_crosses_a_network_unprotected_is_said(
    top: dict[str, Any], region: dict[str, Any], said: list[str], ca: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "database" in top:
        top = {**top, "database": top["database"].replace("=CA", f"={ca}")}
    settings = read(region=region, **top)
    found = open_ways(settings)
    assert len(found) == len(said)
    assert all(words.startswith(start) for words, start in zip(found, said, strict=True))
    with caplog.at_level(logging.WARNING):
        unprotected.tell(settings, *settings.regions)
    assert len(caplog.messages) == len(said)
    assert "Canary" not in " ".join(found) + caplog.text


def test_a_process_speaks_only_of_its_own_ways() -> None:
    region = {"host": "http://cloud", "bus": {"source": "amqp", "url": "amqp://b"}}
    assert open_ways(read(HUB, region)) == []
    assert len(open_ways(read(Role("worker", "r1"), region))) == 1
    assert len(open_ways(read(Role("bridge", "r1"), region))) == 1
