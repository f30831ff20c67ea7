"""Kafka's own jars as one KRaft node, broker and controller in one, set for a small machine.

In: a folder, and the cache with Java and the jars. Out: `127.0.0.1:port` for bootstrap. Called by `stack` and
fault tests.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import subprocess
from pathlib import Path

from tests.services import java
from tests.services.errors import ServiceUnavailable
from tests.services.service import Launch, Service

CLUSTER_ID = "cmVnaW9uLXN5bmMtdGVzdA"  # 16 bytes in base64, as StorageTool wants it
ANSWER_LIMIT_S = 2.0
FORMAT_LIMIT_S = 120
# ApiVersions, version 0, correlation 1, no client id: https://kafka.apache.org/protocol
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)

SMALL = {
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "2",
    # tests start and kill consumers: no waiting for more members, and short sessions allowed
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "1048576",
}


class Kafka(Service):
    """One node, replication factor 1; topics are made by whoever needs them, never by a typing error."""

    name = "kafka"
    port_names = ("kafka", "controller")

    def __init__(self, folder: Path, cache: Path) -> None:
        """`cache` holds what all instances share: the jars, and Java where the machine has none."""
        super().__init__(folder)
        self._cache = cache.resolve()

    @property
    def address(self) -> str:
        """The bootstrap server."""
        return f"127.0.0.1:{self.ports['kafka']}"

    @functools.cached_property
    def _programs(self) -> tuple[Path, Path]:
        """Java and the jars, looked for once: on a busy machine Java takes a minute to say who it is."""
        return java.java(self._cache), java.jars(self._cache)

    def provision(self) -> None:
        _ = self._programs

    def initialise(self, data: Path) -> None:
        properties = self._write_properties(data)
        try:
            done = subprocess.run(
                self._command("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FORMAT_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceUnavailable(f"Kafka's folder could not be formatted: {error}") from error
        if done.returncode != 0:
            raise ServiceUnavailable(
                f"Kafka's folder could not be formatted: {(done.stdout + done.stderr).strip()[-600:]}"
            )

    def launch(self, data: Path) -> Launch:
        return Launch(self._command("kafka.Kafka", str(self._write_properties(data))), os.environ)

    def healthy(self) -> bool:
        """A broker answers requests only once the controller has let it in."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports["kafka"]), ANSWER_LIMIT_S) as connection:
                connection.sendall(API_VERSIONS)
                answer = connection.recv(10, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)

    def properties(self, data: Path) -> dict[str, str]:
        """What stands in its server.properties."""
        ports = self.ports
        client = f"PLAINTEXT://127.0.0.1:{ports['kafka']}"
        return {
            **SMALL,
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
            "listeners": f"{client},CONTROLLER://127.0.0.1:{ports['controller']}",
            "advertised.listeners": client,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(data),
        }

    def _write_properties(self, data: Path) -> Path:
        file = self.folder / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in self.properties(data).items()))
        return file

    def _command(self, main: str, *arguments: str) -> list[str]:
        program, jars = self._programs
        sizes = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC"]
        return [str(program), *sizes, "-cp", f"{jars}/*", main, *arguments]
