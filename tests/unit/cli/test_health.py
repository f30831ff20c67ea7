"""`health` against a process that is well, one that is not, one that is something else, and none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import run
from sys import executable

import pytest

from pipeline.cli import health
from pipeline.metrics import routes
from tests.unit.cli.conftest import Call

ANSWERS = {
    "/health/live": (200, b'{"live": true}'),
    "/health/ready": (503, b'{"ready": false, "checks": {"kafka": "no answer"}}'),
    "/other/health/live": (404, b"<html>"),
}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's standard error."""


@contextmanager
def process() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_says_what_the_process_says(region_sync: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not asked
    with process() as url:
        alive = region_sync("health", "--url", url)
        assert (alive.code, alive.out) == (0, '{"live": true}\n')
        monkeypatch.setenv("REGION_SYNC_HEALTH_URL", url + "/")
        unready = region_sync("health", "--ready")
        assert unready.code == 1 and '"kafka": "no answer"' in unready.out
        other = region_sync("health", "--url", f"{url}/other")
        assert other.code == 1 and "HTTP 404" in other.out


def test_nobody_there_is_1_and_one_line(region_sync: Call) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        ended = region_sync("health", "--url", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert ended.code == 1
    assert ended.out.count("\n") == 1 and "does not answer" in ended.out
    assert ended.err == ""


def test_the_routes_are_those_that_are_served() -> None:
    assert (health.LIVE, health.READY) == (routes.LIVE, routes.READY)


def test_asking_loads_nothing_heavy() -> None:
    """It is asked every few seconds in each container."""
    heavy = ("pydantic", "aiohttp", "faust")
    code = f"import sys, pipeline.cli.health; print([name for name in {heavy} if name in sys.modules])"
    assert run([executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"
