"""A region's bus as a source: consumes our queue there, and acknowledges what Kafka has.

In: AMQP deliveries, on the one thread that calls `run`: pika's loop, the relay, Kafka's delivery reports and
the acknowledgements all live on it, so nothing is locked. Out: `Relay.take` for each message. Called by
`bridge`. Whatever ends a session (broker gone, channel closed, queue deleted, log-in refused), a new one is
tried for ever.
"""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import Any, Final

from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.connection import URLParameters
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError
from pika.spec import Basic, BasicProperties

from bridges.address import parameters
from bridges.relay import BrokenSink, Counters, Deliveries, Relay, Sink
from bridges.topology import BusSettings, Topology
from pipeline.core.distrust import distrust
from pipeline.core.retry import Backoff

HEARTBEAT_S: Final = 30
"""A broker that vanished without a word is noticed after two of these; `heartbeat=` in the URL goes first."""

CONNECT_LIMIT_S: Final = 15.0

SETUP_LIMIT_S: Final = 20.0
"""From the open connection to the consumer. A quorum queue that has no leader answers nothing at all."""

_IDLE_TICK_S: Final = 0.5
_CLOSE_LIMIT_S: Final = 3.0

log = logging.getLogger(__name__)


class RabbitSource:
    """Consumes until `stop`. One use only."""

    def __init__(self, bus: BusSettings, relay: Relay, sink: Sink, counters: Counters) -> None:
        """Raises `ValueError` when the URL is none."""
        self._bus = bus
        self._relay = relay
        self._sink = sink
        self._counters = counters
        self._parameters = _parameters(bus)
        self._where = f"{self._parameters.host}:{self._parameters.port}"
        self._backoff = Backoff(first_s=0.2, cap_s=30.0)
        self._loop = IOLoop()
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._consumer: str | None = None
        self._deliveries = Deliveries()
        self._failures = 0
        self._ever_connected = False
        self._tick_timer: Any = None
        self._tick_is_quick = False
        self._stopping = False
        self._broken: BrokenSink | None = None

    def run(self) -> None:
        """Blocks until stopped. Raises `BrokenSink`."""
        library = logging.getLogger("pika")
        if library.level == logging.NOTSET:  # it tells each step of each try, at all levels; we tell once
            library.setLevel(logging.CRITICAL)
        self._connect()
        self._schedule(quick=False)
        try:
            self._loop.start()
        finally:
            self._counters.connected = False
            self._loop.close()
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """From any thread: take nothing new, wait for what is under way (`drain_limit_s` at most), end."""
        self._loop.add_callback_threadsafe(self._begin_stop)

    # -- one session -----------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._stopping:
            return
        self._connection = SelectConnection(
            self._parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
            custom_ioloop=self._loop,
        )

    def _opened(self, connection: SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(
            lambda _connection, _frame: log.warning("broker %s has raised an alarm", self._where)
        )
        Topology(connection, self._bus, self._ready, partial(self._over, connection)).declare()
        self._loop.call_later(SETUP_LIMIT_S, partial(self._check_setup, connection))

    def _check_setup(self, connection: SelectConnection) -> None:
        if not self._counters.connected and not self._sink.waiting:
            self._over(
                connection, f"the broker did not answer for {SETUP_LIMIT_S:.0f} s: no leader for the queue?"
            )

    def _ready(self, channel: Channel) -> None:
        """The queue is there. What an earlier session left with the sink goes first: the broker delivers it
        again, so it would pile up with every session while Kafka is away.
        """
        if channel.is_closed or self._stopping:
            return
        if self._sink.waiting:
            self._loop.call_later(0.1, partial(self._ready, channel))
            return
        self._deliveries = Deliveries()
        self._channel = channel
        channel.add_on_cancel_callback(
            lambda _frame: self._over(channel.connection, "the broker cancelled us: is the queue deleted?")
        )
        channel.basic_qos(prefetch_count=self._bus.prefetch)
        self._consumer = channel.basic_consume(
            self._bus.queue, self._receive, callback=lambda _frame: self._consuming()
        )
        self._loop.call_later(self._bus.recheck_every_s, partial(self._recheck, channel))

    def _consuming(self) -> None:
        self._counters.connected = True
        if self._ever_connected:
            self._counters.reconnects += 1
        tries = f" after {self._failures} failed tries" if self._failures else ""
        log.info("consuming %s at %s%s", self._bus.queue, self._where, tries)
        self._failures = 0
        self._ever_connected = True

    def _receive(
        self, _channel: Channel, method: Basic.Deliver, _properties: BasicProperties, body: bytes
    ) -> None:
        tag: int = method.delivery_tag
        deliveries = self._deliveries
        deliveries.taken(tag)
        self._relay.take(method.routing_key, body, partial(deliveries.settle, tag))
        if not self._tick_is_quick:
            self._schedule(quick=True)

    def _recheck(self, channel: Channel) -> None:
        """Bindings vanish with a deleted exchange, and the broker tells nobody: declare all again."""
        connection = self._connection
        if channel is not self._channel or connection is None or not connection.is_open or self._stopping:
            return
        over = partial(self._over, connection)
        Topology(connection, self._bus, lambda extra: extra.close(), over).declare()
        self._loop.call_later(self._bus.recheck_every_s, partial(self._recheck, channel))

    # -- its end ---------------------------------------------------------------------------------------------

    def _over(self, connection: SelectConnection, reason: object) -> None:
        """The session is of no use any more; when its connection is closed `_lost` is told."""
        if connection is self._connection and connection.is_open and not self._stopping:
            log.warning("session with %s ended: %s", self._where, _words(reason))
            connection.close()
            late = TimeoutError("the broker does not even close the connection")
            self._loop.call_later(_CLOSE_LIMIT_S, partial(self._lost, connection, late))

    def _lost(self, connection: SelectConnection, error: BaseException) -> None:
        if connection is not self._connection:
            return  # given up before
        self._connection = None
        self._counters.connected = False
        self._channel = None
        self._consumer = None
        if self._stopping:
            self._loop.stop()
            return
        self._failures += 1
        if self._failures == 1:
            refused = isinstance(error, ProbableAuthenticationError | ProbableAccessDeniedError)
            log.log(
                logging.ERROR if refused else logging.WARNING,
                "no connection to the bus at %s, trying for ever: %s",
                self._where,
                _words(error),
            )
        self._loop.call_later(self._backoff.delay(self._failures, random.random()), self._connect)

    def _begin_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._loop.call_later(self._bus.drain_limit_s, self._give_up)
        if self._channel is not None and self._channel.is_open and self._consumer is not None:
            self._channel.basic_cancel(self._consumer, callback=lambda _frame: self._cancelled())
        else:
            self._loop.stop()

    def _cancelled(self) -> None:
        self._consumer = None
        self._schedule(quick=True)

    def _give_up(self) -> None:
        if self._deliveries.untold:
            log.warning("stopped; %d messages stay on the bus, unacknowledged", self._deliveries.untold)
        self._end()

    def _end(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._loop.call_later(_CLOSE_LIMIT_S, self._loop.stop)
            self._connection.close()
        else:
            self._loop.stop()

    # -- the tick --------------------------------------------------------------------------------------------

    def _schedule(self, *, quick: bool) -> None:
        if self._tick_timer is not None:
            self._loop.remove_timeout(self._tick_timer)
        self._tick_is_quick = quick
        self._tick_timer = self._loop.call_later(self._bus.ack_every_s if quick else _IDLE_TICK_S, self._tick)

    def _tick(self) -> None:
        """Hear Kafka's reports; acknowledge the prefix that it has."""
        self._tick_timer = None
        try:
            self._sink.poll()
        except BrokenSink as error:
            self._broken = error
            self._stopping = True
            self._end()
            return
        channel = self._channel
        if channel is not None and channel.is_open:
            tag = self._deliveries.settled_up_to()
            if tag is not None:
                channel.basic_ack(tag, multiple=True)
        self._counters.unacked = self._deliveries.untold
        if self._stopping and self._consumer is None and not self._deliveries.untold:
            self._end()
            return
        self._schedule(quick=self._sink.waiting > 0 or self._deliveries.untold > 0)


def _parameters(bus: BusSettings) -> URLParameters:
    found = parameters(bus.url, bus.trust)
    if "heartbeat=" not in bus.url:
        found.heartbeat = HEARTBEAT_S
    found.socket_timeout = found.stack_timeout = CONNECT_LIMIT_S
    found.client_properties = {"connection_name": "region-sync bridge"}
    return found


def _words(error: object) -> str:
    if isinstance(error, ProbableAuthenticationError):
        return "the broker refuses the user name or password"
    if isinstance(error, ProbableAccessDeniedError):
        return "the broker refuses this user the virtual host"
    return distrust(error) or str(error) or type(error).__name__
