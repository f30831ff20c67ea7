"""The faulty network does to connections what it says, so that a test which uses it tests something."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Fault, Link, Network

LIMIT_S = 20.0
SILENT_S = 0.3
"""So long nothing is heard where nothing may be: a fault that leaks does so at once."""


class Echo:
    """A service that says back what it hears, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.news = threading.Condition()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    data = connection.recv(4096)
                    if not data:
                        return
                    with self.news:
                        self.heard += data
                        self.news.notify_all()
                    connection.sendall(data)
                except OSError:
                    return

    def hears(self, data: bytes) -> bool:
        with self.news:
            return self.news.wait_for(lambda: data in self.heard, LIMIT_S)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, which else keeps it open
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    service = Echo()
    yield service
    with contextlib.suppress(OSError):
        service.close()


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    with Network() as network:
        yield network.link("test-echo", "127.0.0.1", echo.port)


def connected(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), LIMIT_S)


def asked(connection: socket.socket, data: bytes) -> bytes:
    connection.settimeout(LIMIT_S)
    connection.sendall(data)
    return connection.recv(4096)


def silent(connection: socket.socket) -> bool:
    connection.settimeout(SILENT_S)
    try:
        connection.recv(4096)
    except TimeoutError:
        return True
    return False


def ended(connection: socket.socket) -> bool:
    """Whether the peer has gone, in whatever way."""
    connection.settimeout(LIMIT_S)
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


def useless(link: Link) -> bool:
    """A new connection is ended at once; the reset may come before `connect` has returned."""
    try:
        with connected(link) as connection:
            return ended(connection)
    except ConnectionResetError:
        return True


def test_a_link_passes_what_is_said_and_the_end(link: Link) -> None:
    with connected(link) as connection:
        assert asked(connection, b"one") == b"one"
        connection.shutdown(socket.SHUT_WR)
        assert ended(connection)


def test_a_cut_holds_what_was_said_until_it_is_healed(link: Link, echo: Echo) -> None:
    with connected(link) as connection:
        assert asked(connection, b"one") == b"one"
        link.fail(Fault.CUT)
        connection.sendall(b"two")
        assert silent(connection)
        assert b"two" not in echo.heard
        with pytest.raises(ConnectionRefusedError):
            connected(link)
        link.heal()
        connection.settimeout(LIMIT_S)
        assert connection.recv(4096) == b"two"
    with connected(link) as again:
        assert asked(again, b"three") == b"three"


@pytest.mark.parametrize(
    ("fault", "arrives"), [(Fault.CUT_TO_CLIENT, True), (Fault.CUT_TO_SERVICE, False)], ids=["answer", "call"]
)
def test_one_way_only_stops_one_way(fault: Fault, arrives: bool, link: Link, echo: Echo) -> None:
    with connected(link) as connection:
        assert asked(connection, b"one") == b"one"
        link.fail(fault)
        connection.sendall(b"two")
        if arrives:
            assert echo.hears(b"two")
        assert silent(connection)
        assert (b"two" in echo.heard) is arrives
        link.heal()
        connection.settimeout(LIMIT_S)
        assert connection.recv(4096) == b"two"


def test_half_open_accepts_and_says_nothing_and_ends_with_a_reset(link: Link, echo: Echo) -> None:
    link.fail(Fault.HALF_OPEN)
    with connected(link) as connection:
        connection.sendall(b"one")
        assert silent(connection)
        link.heal()
        assert ended(connection)
    assert echo.heard == b""


def test_a_reset_ends_old_and_new_connections(link: Link) -> None:
    with connected(link) as connection:
        assert asked(connection, b"one") == b"one"
        link.fail(Fault.RESET)
        assert ended(connection)
    assert useless(link)
    link.heal()
    with connected(link) as again:
        assert asked(again, b"two") == b"two"


def test_a_slow_link_passes_everything_in_order(link: Link) -> None:
    link.fail(Fault.SLOW)
    with connected(link) as connection:
        assert asked(connection, b"one") == b"one"
        assert asked(connection, b"two") == b"two"


def test_a_service_that_is_away_ends_the_connection(link: Link, echo: Echo) -> None:
    echo.close()
    assert useless(link)
