"""Three Kafka brokers that are one cluster: each in a folder of its own, killed and started by itself.

In: a folder, the cache with Java and the jars, and for each kind of client the ports by which it is to reach
the brokers, where a proxy may sit. Out: bootstrap addresses. Called by fault tests:

    with KafkaCluster(tmp_path, services_cache) as cluster:
        cluster.brokers[0].kill()      # the other two go on
        cluster.brokers[0].start()
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.services import process
from tests.services.kafka import Kafka

BROKERS: Final = 3
REPLICATED: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # a dead broker's partitions get another leader after this; 9 s by default
    "broker.session.timeout.ms": "6000",
}
OURS: Final = "OWN"
"""The listener of the brokers themselves, and of clients without a proxy."""


class Broker(Kafka):
    """One of several. `advertised`: listener → the port that its clients are told."""

    def __init__(self, cluster: KafkaCluster, number: int) -> None:
        super().__init__(cluster.folder / f"kafka-{number}", cluster.cache)
        self.number = number
        self.advertised: dict[str, int] = {}
        self._cluster = cluster

    @property
    def listener_ports(self) -> dict[str, int]:
        """Listener → the port where this broker serves it."""
        return {name: self.ports[name] for name in self._cluster.listeners}

    def assign_ports(self) -> None:
        """Once, before any broker starts: each must know all others' ports."""
        names = ("kafka", "controller", *self._cluster.listeners)
        self.folder.mkdir(parents=True, exist_ok=True)
        ports: dict[str, int] = {}
        while len(set(ports.values())) < len(names):
            ports = {name: process.free_port() for name in names}
        (self.folder / "ports.json").write_text(json.dumps(ports))

    def properties(self, data: Path) -> dict[str, str]:
        own = {**self.listener_ports, OURS: self.ports["kafka"]}
        told = {**own, **self.advertised}
        voters = [f"{one.number}@127.0.0.1:{one.ports['controller']}" for one in self._cluster.brokers]
        controller = f"CONTROLLER://127.0.0.1:{self.ports['controller']}"
        listening = [f"{name}://127.0.0.1:{port}" for name, port in own.items()]
        return {
            **super().properties(data),
            **REPLICATED,
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(voters),
            "listeners": ",".join([*listening, controller]),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in told.items()),
            "inter.broker.listener.name": OURS,
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in [*own, "CONTROLLER"]),
        }

    def _choose_ports(self) -> None:
        """They are assigned."""


class KafkaCluster:
    """Replication 3, of which two must have a message before it is acknowledged."""

    def __init__(self, folder: Path, cache: Path, listeners: Sequence[str] = ()) -> None:
        """`listeners`: kinds of clients, in capitals, each with ports of its own on every broker."""
        self.folder = folder.resolve()
        self.cache = cache
        self.listeners = tuple(listeners)
        self.brokers = [Broker(self, number) for number in range(1, BROKERS + 1)]
        for one in self.brokers:
            one.assign_ports()

    @property
    def address(self) -> str:
        """Bootstrap without a proxy."""
        return ",".join(one.address for one in self.brokers)

    def advertise(self, listener: str, ports: Mapping[int, int]) -> str:
        """Broker's number → the port that this listener's clients are told; their bootstrap. Before the
        start."""
        for one in self.brokers:
            one.advertised[listener] = ports[one.number]
        return ",".join(f"127.0.0.1:{ports[one.number]}" for one in self.brokers)

    def start(self) -> None:
        """All at once: one alone has no quorum and never answers. Raises ServiceUnavailable."""
        for one in self.brokers:
            one.provision()  # one after the other: packages can't be installed in parallel
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Broker.start, self.brokers))

    def kill(self) -> None:
        """kill -9 of every broker that runs."""
        for one in self.brokers:
            one.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def _discard(self) -> None:
        self.kill()  # together they need no time to say goodbye
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Broker.discard, self.brokers))
