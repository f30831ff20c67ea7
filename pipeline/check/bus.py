"""A region's RabbitMQ: does the log-in work, is the exchange there, what waits in our queue?

In: a region with an AMQP bus. Out: findings. Everything is declared passively: asked for, never made. That a
connection works does not prove that events come (cloudstack.md, "The bus").
"""

from __future__ import annotations

from typing import Final

from pika.adapters.blocking_connection import BlockingConnection
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.connection import URLParameters
from pika.exceptions import AMQPError, ChannelClosedByBroker

from bridges.address import parameters as bus_parameters
from pipeline.bridging import trust
from pipeline.check.finding import CONNECT_S, Finding, Subject, blocking
from pipeline.core.distrust import distrust
from pipeline.settings import Region

_NOT_FOUND: Final = 404


async def examine(region: Region) -> list[Finding]:
    """The connection, the exchange, the queue."""
    return await blocking(lambda: _examine(region))


def _examine(region: Region) -> list[Finding]:
    subject = Subject(region.name, "bus")
    parameters = address(region)
    where = f"{parameters.host}:{parameters.port}"
    try:
        connection = BlockingConnection(parameters)
    except (AMQPError, AMQPConnectorException, OSError) as error:
        return [subject.fail(f"{where}: {words(error)}")]
    try:
        reached = subject.ok(f"{where}: logged in to {parameters.virtual_host!r}")
        return [reached, _exchange(subject, connection, region), _queue(subject, connection, region)]
    finally:
        if connection.is_open:
            connection.close()


def _exchange(subject: Subject, connection: BlockingConnection, region: Region) -> Finding:
    name = region.bus.exchange
    try:
        connection.channel().exchange_declare(name, exchange_type="topic", passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code == _NOT_FOUND:
            return subject.warn(
                f"there is no exchange {name}: is that its name in CloudStack's settings? The bridge makes it"
            )
        return subject.fail(f"exchange {name}: {error.reply_text}")
    return subject.ok(f"exchange {name} is there")


def _queue(subject: Subject, connection: BlockingConnection, region: Region) -> Finding:
    try:
        answer = connection.channel().queue_declare(region.queue, passive=True).method
    except ChannelClosedByBroker as error:
        if error.reply_code == _NOT_FOUND:
            return subject.ok(f"queue {region.queue} is made at the bridge's first start")
        return subject.fail(f"queue {region.queue}: {error.reply_text}")
    bridges = f"{answer.consumer_count} {'bridge' if answer.consumer_count == 1 else 'bridges'}"
    return subject.ok(f"queue {region.queue}: {answer.message_count} events wait, {bridges} connected")


def address(region: Region) -> URLParameters:
    """Where the bus is and how to log in; one try, within the limit."""
    parameters = bus_parameters(region.bus.url.get_secret_value() if region.bus.url else "", trust(region))
    parameters.connection_attempts = 1
    parameters.socket_timeout = CONNECT_S
    parameters.stack_timeout = CONNECT_S
    parameters.blocked_connection_timeout = CONNECT_S
    return parameters


def words(error: BaseException) -> str:
    """pika's own text is often empty; the cause lies within."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    return distrust(error) or str(inner) or type(error).__name__
