"""A simulated region on a real RabbitMQ: what arrives, how it looks, and what a broker that is away costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.contract.sandbox.api import Api

pytestmark = pytest.mark.services
LIMIT_S = 90.0


class Tap:
    """A queue bound to everything that a region publishes."""

    def __init__(self, url: str, region: SimulatedRegion) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._exchange = region.exchange
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(self._queue, region.exchange, "#")

    def next(self) -> tuple[str, pika.BasicProperties, dict[str, str]] | None:
        """The next message, or None where there is none yet."""
        method, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
        if method is None or properties is None or body is None:
            return None
        return method.routing_key, properties, json.loads(body)

    async def wait(self) -> tuple[str, pika.BasicProperties, dict[str, str]]:
        """The next message; fails after a limit."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            message = self.next()
            if message is not None:
                return message
            await asyncio.sleep(0.02)
        raise AssertionError("nothing arrived")

    def close(self) -> None:
        """Leaves nothing on the shared broker."""
        self._channel.exchange_delete(self._exchange)
        self._connection.close()


class Gate:
    """A TCP door before the broker that can be shut: connections break and new ones are refused."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        parts = self._parts
        login = f"{parts.username}:{parts.password}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=f"{login}127.0.0.1:{self.port}"))

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port or 5672)
        self._open |= {writer, back}
        await asyncio.gather(_pump(reader, back), _pump(there, writer), return_exceptions=True)
        self._open -= {writer, back}


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
    target.close()


@pytest.fixture
async def region(amqp_url: str) -> AsyncIterator[SimulatedRegion]:
    async with simulated_regions(1, amqp_url, names=(f"t{uuid.uuid4().hex[:8]}",)) as regions:
        yield regions[0]


async def test_messages_look_as_recorded(region: SimulatedRegion, amqp_url: str) -> None:
    tap, api = Tap(amqp_url, region), Api(region)
    domain = await api.domain("dömäne")
    key, properties, body = await tap.wait()
    assert key == f"management-server.ActionEvent.DOMAIN-CREATE.Domain.{domain}"
    assert (properties.content_type, properties.delivery_mode, properties.priority) == ("text/plain", 2, 0)
    assert (properties.headers, properties.message_id, properties.timestamp) == (None, None, None)
    assert body["description"] == "Successfully completed creating Domain. Domain Name: dömäne"
    tap.close()


async def test_two_regions_have_an_exchange_each_and_jobs_a_category_of_their_own(amqp_url: str) -> None:
    names = (f"t{uuid.uuid4().hex[:8]}", f"t{uuid.uuid4().hex[:8]}")
    async with simulated_regions(2, amqp_url, names=names) as (one, two):
        taps, api = [Tap(amqp_url, region) for region in (one, two)], Api(one)
        await api.job("deleteDomain", id=await api.domain("d"))
        categories = [(await taps[0].wait())[0].split(".")[1] for _ in range(6)]
        assert categories.count("ActionEvent") == 4
        assert categories.count("AsyncJobEvent") == 2
        assert taps[1].next() is None
        for tap in taps:
            tap.close()


async def test_while_the_broker_is_away_calls_answer_and_events_are_lost(amqp_url: str) -> None:
    gate = Gate(amqp_url)
    await gate.open()
    async with simulated_regions(1, gate.url, names=(f"t{uuid.uuid4().hex[:8]}",)) as (region,):
        tap, api = Tap(amqp_url, region), Api(region)
        publisher = region.publisher
        assert publisher is not None and publisher.connected
        await gate.shut()
        end = time.monotonic() + LIMIT_S
        while publisher.connected and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await api.domain("lost")
        while publisher.lost == 0 and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await gate.open()
        while not publisher.connected and time.monotonic() < end:
            await asyncio.sleep(0.02)
        kept = await api.domain("kept")
        assert (await tap.wait())[2]["entityuuid"] == kept
        assert (await api("listEvents", listall="true")).body["count"] == 2
        tap.close()
    await gate.shut()
