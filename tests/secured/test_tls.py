"""We check who it is that we talk to: a wrong authority, a wrong name, an expired certificate is refused."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pika
import pytest
from aiohttp import web
from sqlalchemy import text

from bridges.address import Trust, parameters
from bridges.bridge import Bridge, BridgeSettings
from pipeline.check.bus import words as bus_words
from pipeline.cloudstack.client import ClientSettings, CloudStack, Credentials
from pipeline.core import distrust
from pipeline.core.errors import TemporaryError
from pipeline.outbox.engine import open_database, reading
from pipeline.reach import Kafka
from tests.secured.services import Secured
from tests.services.certificates import HERE, Authority, Certificate
from tests.services.process import free_port

pytestmark = pytest.mark.services

NAMED = "localhost"
"""No certificate of the services has that name, and they are reached by it all the same."""


@contextmanager
def tls_server(certificate: Certificate) -> Iterator[int]:
    """Something that shakes hands with this certificate, and says nothing afterwards; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    port, loop = free_port(), asyncio.new_event_loop()
    started = loop.run_until_complete(asyncio.start_server(lambda *_: None, HERE, port, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(started.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def refusal(attempt: Callable[[], Any], words: Callable[[BaseException], str] = str) -> str:
    with pytest.raises(Exception) as caught:
        attempt()
    assert not isinstance(caught.value, AssertionError)
    return words(caught.value)


def ask_kafka(secured: Secured, ca: Path | None = None, address: str = "", **changed: str) -> None:
    options = secured.kafka.options() | {"ssl.ca.location": str(ca or secured.authority.ca)} | changed
    Kafka(address or secured.kafka.address, options).ensure_topics([], 1)


def test_kafka(secured: Secured) -> None:
    ask_kafka(secured)
    untrusted = "the broker's certificate is not trusted"
    assert untrusted in refusal(lambda: ask_kafka(secured, ca=secured.stranger.ca))
    other_name = secured.kafka.address.replace(HERE, NAMED)
    assert untrusted in refusal(lambda: ask_kafka(secured, address=other_name))
    with tls_server(secured.authority.certificate(valid=timedelta(hours=-1))) as port:
        assert untrusted in refusal(lambda: ask_kafka(secured, address=f"{HERE}:{port}"))
    wrong = {"sasl.password": "not-the-password"}
    told = refusal(lambda: ask_kafka(secured, **wrong))
    assert "the broker refuses sasl.username or sasl.password" in told
    assert "not-the-password" not in told


def ask_bus(url: str, trust: Trust) -> None:
    asked = parameters(url, trust)
    asked.socket_timeout = asked.stack_timeout = 20.0
    pika.BlockingConnection(asked).close()


def test_the_bus(secured: Secured) -> None:
    url, known = secured.rabbitmq.address, Trust(str(secured.authority.ca))
    ask_bus(url, known)
    assert (
        refusal(lambda: ask_bus(url, Trust(str(secured.stranger.ca))), bus_words)
        == distrust.UNKNOWN_AUTHORITY
    )
    assert refusal(lambda: ask_bus(url, Trust()), bus_words) == distrust.UNKNOWN_AUTHORITY
    assert refusal(lambda: ask_bus(url.replace(HERE, NAMED), known), bus_words) == distrust.OTHER_NAME
    with tls_server(secured.authority.certificate(valid=timedelta(hours=-1))) as port:
        expired = url.replace(f":{secured.rabbitmq.ports['amqps']}", f":{port}")
        assert refusal(lambda: ask_bus(expired, known), bus_words) == distrust.EXPIRED


async def test_a_bridge_says_in_its_log_why_it_hears_nothing(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    trust = Trust(str(secured.stranger.ca))
    bridge = Bridge(BridgeSettings("r1", "127.0.0.1:1", amqp_url=secured.rabbitmq.address, trust=trust))
    await bridge.start()
    try:
        async with asyncio.timeout(150):
            while distrust.UNKNOWN_AUTHORITY not in caplog.text:
                await asyncio.sleep(0.05)
    finally:
        await bridge.stop()


def test_a_certificate_of_our_own_is_shown_to_a_bus_that_asks(secured: Secured) -> None:
    """The handshake alone: a server that wants a client's certificate, as RabbitMQ with verify_peer."""
    ours = secured.authority.certificate("client.example")
    shown: list[object] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(secured.authority.ca))
    made = secured.authority.certificate()
    context.load_cert_chain(made.chain, made.key)
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert"))
        writer.close()

    async def meet() -> None:
        server = await asyncio.start_server(serve, HERE, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        trust = Trust(str(secured.authority.ca), str(ours.chain), str(ours.key))
        with suppress(pika.exceptions.AMQPError):  # it is no broker
            await asyncio.to_thread(ask_bus, f"amqps://u:p@{HERE}:{port}/%2F", trust)
        server.close()

    asyncio.run(meet())
    assert "client.example" in str(shown)


def ask_database(url: str) -> str:
    engine = open_database(url)
    try:
        with reading(engine) as connection:
            return str(connection.execute(text("SHOW STATUS LIKE 'Ssl_version'")).one()[1])
    finally:
        engine.dispose()


def test_the_database(secured: Secured) -> None:
    url, ca = secured.mariadb.address, str(secured.authority.ca)
    assert ask_database(url).startswith("TLS")
    strange = url.replace(ca, str(secured.stranger.ca))
    assert refusal(lambda: ask_database(strange)) == f"database: {distrust.UNKNOWN_AUTHORITY}"
    named = url.replace(f"@{HERE}:", f"@{NAMED}:")
    assert refusal(lambda: ask_database(named)) == f"database: {distrust.OTHER_NAME}"
    with expired(secured):
        assert refusal(lambda: ask_database(url)) == f"database: {distrust.EXPIRED}"
    assert ask_database(url).startswith("TLS")


@contextmanager
def expired(secured: Secured) -> Iterator[None]:
    """The database's own certificate is one that has expired."""
    mariadb = secured.mariadb
    kept = mariadb.certificate.read_bytes(), mariadb.key.read_bytes()
    late = secured.authority.certificate(valid=timedelta(hours=-1))
    engine = open_database(mariadb.address)
    with engine.connect() as connection:  # made before, and so not concerned
        mariadb.certificate.write_bytes(late.chain.read_bytes())
        mariadb.key.write_bytes(late.key.read_bytes())
        connection.execute(text("FLUSH SSL"))
        try:
            yield
        finally:
            mariadb.certificate.write_bytes(kept[0])
            mariadb.key.write_bytes(kept[1])
            connection.execute(text("FLUSH SSL"))
    engine.dispose()


async def ask_region(certificate: Certificate, ca: Path | None, host: str = HERE) -> str:
    """What the client says of a region with that certificate; empty when it was answered."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"listrolesresponse": {}})

    app = web.Application()
    app.router.add_get("/client/api", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)
    await web.TCPSite(runner, HERE, 0, ssl_context=context).start()
    endpoint = f"https://{host}:{runner.addresses[0][1]}/client/api"
    settings = ClientSettings(endpoint, Credentials("key", "secret"), tls_ca=str(ca or ""))
    client = CloudStack(settings, clock=lambda: 0)
    try:
        await client.call("listRoles", {})
    except TemporaryError as error:
        return str(error)
    finally:
        await client.aclose()
        await runner.cleanup()
    return ""


async def test_a_region(tmp_path: Path) -> None:
    ours, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "stranger")
    good, late = ours.certificate(), ours.certificate(valid=timedelta(hours=-1))
    assert await ask_region(good, ours.ca) == ""
    assert (await ask_region(good, stranger.ca)).endswith(distrust.UNKNOWN_AUTHORITY)
    assert (await ask_region(good, None)).endswith(distrust.UNKNOWN_AUTHORITY)
    assert (await ask_region(good, ours.ca, NAMED)).endswith(distrust.OTHER_NAME)
    assert (await ask_region(late, ours.ca)).endswith(distrust.EXPIRED)
