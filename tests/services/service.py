"""What the three services share: one folder, remembered ports, and a life: start, stop, kill, start again.

In: a folder. Out: a running service and its address. Called by `stack` for the shared three, and by fault
tests for an instance of their own:

    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        kafka.kill()      # kill -9
        kafka.start()     # the same data, the same port
"""

from __future__ import annotations

import json
import shutil
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.services import process
from tests.services.errors import ServiceUnavailable, WaitTimeout

START_LIMIT_S = 120.0
STOP_LIMIT_S = 25.0
LOG_LINES_SHOWN = 15


@dataclass(frozen=True)
class Launch:
    """One command and the environment that it runs in."""

    argv: Sequence[str]
    env: Mapping[str, str]


class Service(ABC):
    """One server in one folder. Every method can be called at any time and twice."""

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @abstractmethod
    def provision(self) -> None:
        """See that its programs are on this machine; a no-op when they are. Raises ServiceUnavailable."""

    @abstractmethod
    def initialise(self, data: Path) -> None:
        """Fill the empty folder `data`. Raises ServiceUnavailable."""

    @abstractmethod
    def launch(self, data: Path) -> Launch:
        """The command that serves `data` on `ports`; configuration files are written anew here."""

    @abstractmethod
    def healthy(self) -> bool:
        """Whether the service answers its own protocol at its address."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The URL or host:port for clients."""

    @property
    def ports(self) -> dict[str, int]:
        """The ports chosen at the last start, by name. Raises ServiceUnavailable before the first."""
        try:
            stored: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        except (FileNotFoundError, ValueError) as error:
            raise ServiceUnavailable(f"{self.name} has never been started in {self.folder}") from error
        return stored

    def running(self) -> bool:
        """Whether the server's own process lives and answers."""
        return process.leader(self.folder) is not None and self.healthy()

    def start(self) -> bool:
        """Bring it up, with the data and the ports of its last start; False if it already was up.

        Raises ServiceUnavailable with the end of its log when it does not come up.
        """
        if self.running():
            return False
        self.provision()
        self.folder.mkdir(parents=True, exist_ok=True)
        process.kill_all(self.folder)  # what a crash left over, such as a lone epmd or a server that hangs
        self._choose_ports()
        launch = self.launch(self._data())
        process.spawn(self.folder, launch.argv, launch.env)
        self._await_health()
        return True

    def stop(self) -> None:
        """End it in the regular way, by force after STOP_LIMIT_S. The data stay."""
        pid = process.leader(self.folder)
        if pid is not None:
            process.end(self.folder, [pid], signal.SIGTERM, STOP_LIMIT_S)
        process.kill_all(self.folder)
        (self.folder / "pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9 of the server and all that it forked. `start` brings back the same data and ports."""
        process.kill_all(self.folder)

    def discard(self) -> None:
        """Stop it and remove its data; log and ports stay."""
        self.stop()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "initialised").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _choose_ports(self) -> None:
        """Keep the last start's ports, so that clients find it again, unless somebody took one meanwhile."""
        try:
            ports = self.ports
        except ServiceUnavailable:
            ports = {}
        if set(ports) != set(self.port_names) or not all(process.is_free(port) for port in ports.values()):
            ports = {}
            while len(set(ports.values())) < len(self.port_names):
                ports = {name: process.free_port() for name in self.port_names}
        (self.folder / "ports.json").write_text(json.dumps(ports))

    def _data(self) -> Path:
        """The data folder, initialised. A run that died half-way through left no marker: begin again."""
        data, marker = self.folder / "data", self.folder / "initialised"
        if not (marker.exists() and data.is_dir()):
            shutil.rmtree(data, ignore_errors=True)
            data.mkdir()
            self.initialise(data)
            marker.touch()
        return data

    def _await_health(self) -> None:
        seen_alive = False

        def up_or_dead() -> bool:
            nonlocal seen_alive
            alive = process.leader(self.folder) is not None
            if seen_alive and not alive:
                return True
            seen_alive = seen_alive or alive
            return alive and self.healthy()

        try:
            process.wait_until(up_or_dead, START_LIMIT_S, f"{self.name} to answer")
        except WaitTimeout as error:
            process.kill_all(self.folder)
            raise ServiceUnavailable(f"{self.name} did not come up: {error}\n{self.log_end()}") from error
        if process.leader(self.folder) is None:
            process.kill_all(self.folder)
            raise ServiceUnavailable(f"{self.name} ended while starting\n{self.log_end()}")

    def log_end(self) -> str:
        """The last lines of its log, indented, for an error's text."""
        try:
            lines = (self.folder / "log").read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        except FileNotFoundError:
            lines = []
        return "\n".join(f"    {line}" for line in [str(self.folder / "log"), *lines])
