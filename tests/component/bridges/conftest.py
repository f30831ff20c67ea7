"""A region of its own for each test: an exchange, a queue and topics that nobody else uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from bridges.bridge import BridgeSettings
from tests.component.bridges.rig import Bus, Topics


@pytest.fixture
def settings(amqp_url: str, kafka_bootstrap: str) -> BridgeSettings:
    region = f"r-{uuid.uuid4().hex[:8]}"
    return BridgeSettings(region=region, kafka=kafka_bootstrap, amqp_url=amqp_url, exchange=f"bus-{region}")


@pytest.fixture
def kafka_topics(settings: BridgeSettings) -> Iterator[Topics]:
    made = Topics(settings.kafka, settings.region)
    made.create()
    yield made
    made.delete()


@pytest.fixture
def bus(settings: BridgeSettings) -> Iterator[Bus]:
    made = Bus(settings.amqp_url, settings)
    made.declare()
    yield made
    made.close()
