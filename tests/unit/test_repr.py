"""What holds a secret does not show it: settings, what is made of them, tracebacks of what fails there."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from bridges.rabbitmq import _parameters
from pipeline import reach
from pipeline.bridging import bridge_settings
from pipeline.cloudstack.client import CloudStack
from pipeline.core.access import parse
from pipeline.core.errors import TemporaryError
from pipeline.outbox.engine import open_database, reading
from pipeline.reach import Kafka, client_settings
from pipeline.settings import Settings, SettingsError
from pipeline.views.access import Access
from tests.secured import canaries

KEY, SECRET = "Canary/key+0a1b=x", "Canary/secret+2c3d=x"
ESCAPED = {name: getattr(canaries, name).replace("/", "%2F") for name in ("BUS", "DATABASE")}
TREE: dict[str, Any] = {
    "kafka": "127.0.0.1:1",
    "kafka_options": {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": canaries.KAFKA,
    },
    "database": f"mysql+pymysql://u:{ESCAPED['DATABASE']}@127.0.0.1:1/n",
    "web": {"token": canaries.TOKEN},
    "regions": [
        {
            "name": "r1",
            "host": "http://127.0.0.1:1",
            "api_key": KEY,
            "secret_key": SECRET,
            "bus": {"source": "amqp", "url": f"amqp://u:{ESCAPED['BUS']}@127.0.0.1:1/"},
        },
        {"name": "r2", "host": "http://127.0.0.1:1", "user_name": "u", "password": canaries.WRONG},
    ],
}
SECRETS = (*canaries.ALL, KEY, SECRET)


def test_nothing_that_holds_a_secret_shows_it() -> None:
    settings = Settings.parse(TREE, {})
    region = settings.regions[0]
    bridge = bridge_settings(settings, region, settings.kafka)
    client = client_settings(region)
    engine = open_database(settings.database.get_secret_value())
    held = {
        "settings": settings,
        "region": region,
        "kafka_options": settings.kafka_options,
        "access": parse(settings.kafka_options),
        "bridge": bridge,
        "bus": bridge.bus(),
        "client settings": client,
        "login": client_settings(settings.regions[1]),
        "client": CloudStack(client, clock=lambda: 0),
        "parameters": _parameters(bridge.bus()),
        "engine": engine,
        "url": engine.url,
        "door": Access(settings.web.token.get_secret_value() if settings.web.token else None, "h"),
        "dumped": settings.model_dump(),
        "as JSON": settings.model_dump_json(),
    }
    assert canaries.found(SECRETS, {name: f"{one!r} {one}" for name, one in held.items()}) == []


def test_nor_does_what_fails_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "TIMEOUT_S", 1.0)  # nobody will answer
    settings = Settings.parse(TREE, {})
    told = {}
    with pytest.raises(TemporaryError) as caught:
        reading(open_database(settings.database.get_secret_value())).__enter__()
    told["database"] = "".join(traceback.format_exception(caught.value))
    with pytest.raises(TemporaryError) as caught:
        Kafka(settings.kafka, settings.kafka_options).ensure_topics(["t"], 1)
    told["kafka"] = "".join(traceback.format_exception(caught.value))
    for wrong in (
        {"kafka_options": {"sasl.password": canaries.KAFKA, "sasl.jaas.config": canaries.KAFKA}},
        {"database": f"postgres://u:{ESCAPED['DATABASE']}@h/n"},
        {"web": {"token": canaries.TOKEN, "tokens": canaries.TOKEN}},
        {"regions": [TREE["regions"][0] | {"bus": {"source": "amqp", "url": f"amqp://u:{canaries.BUS}@h/"}}]},
        {"regions": [TREE["regions"][0] | {"secret_key": [SECRET]}]},
    ):
        try:
            Settings.parse(TREE | wrong, {})
        except SettingsError as error:
            told[str(wrong)[:20]] = "".join(traceback.format_exception(error))
    assert len(told) >= 6
    assert canaries.found(SECRETS, told) == []
