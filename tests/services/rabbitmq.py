"""RabbitMQ from Debian's package: node name, cookie, home, epmd, ports and folders of its own; no plugins.

In: a folder. Out: `amqp://…` at 127.0.0.1. Called by `stack` and by fault tests.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import ClassVar

from tests.services import debian, process
from tests.services.service import Launch, Service

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the wrapper in sbin drops the environment
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"  # the first byte of Connection.Start
ANSWER_LIMIT_S = 2.0

CONFIGURATION = """\
listeners.tcp.default = 127.0.0.1:{amqp}
log.console = true
log.console.level = info
log.file = false
disk_free_limit.absolute = 50MB
# one segment of the quorum queues' log is kept in memory: 512 MB by default
raft.wal_max_size_bytes = 33554432
"""


class RabbitMQ(Service):
    """One node that nobody else's node or client can meet."""

    name = "rabbitmq"
    port_names: ClassVar[tuple[str, ...]] = ("amqp", "distribution", "epmd")

    @property
    def address(self) -> str:
        """The URL of the default virtual host, with the default user (loopback only)."""
        return f"amqp://guest:guest@127.0.0.1:{self.ports['amqp']}/%2F"

    def provision(self) -> None:
        if not PROGRAM.exists():
            debian.require(
                str(PROGRAM), ["rabbitmq-server"], ["rabbitmq-server", "epmd.socket", "epmd.service"]
            )

    def initialise(self, data: Path) -> None:
        (data / "home").mkdir()  # Erlang writes its cookie there

    def launch(self, data: Path) -> Launch:
        """The server writes nothing outside `data`, and reads no file in /etc/rabbitmq."""
        (self.folder / "rabbitmq.conf").write_text(CONFIGURATION.format(**self.ports))
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").write_text("")
        ours = {
            "HOME": data / "home",
            "RABBITMQ_NODENAME": "region-sync@localhost",
            "RABBITMQ_DIST_PORT": self.ports["distribution"],
            "RABBITMQ_MNESIA_BASE": data / "mnesia",
            "RABBITMQ_LOG_BASE": self.folder / "logs",
            "RABBITMQ_PID_FILE": data / "rabbitmq.pid",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "advanced",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": self.ports["epmd"],
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": self.folder / "erl_crash.dump",
        }
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))
        }
        return Launch([str(PROGRAM)], {**inherited, **{name: str(value) for name, value in ours.items()}})

    def await_survivable(self, queue: str, limit_s: float = 15.0) -> None:
        """Wait until a quorum queue of the default virtual host would outlive `kill`. Raises WaitTimeout.

        RabbitMQ (3.10 at least) writes a new quorum queue's name about a second after it was declared. Killed
        before, a lone node never elects a leader for it again: "leader call - leader not known" for ever.
        """
        name = f"%2F_{queue}".encode()

        def written() -> bool:
            return any(name in file.read_bytes() for file in (self.folder / "data").rglob("names.dets"))

        process.wait_until(written, limit_s, f"the queue {queue} to be on disk")

    def healthy(self) -> bool:
        """The listener opens last in the boot, so a protocol greeting means that all is up."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports["amqp"]), ANSWER_LIMIT_S) as connection:
                connection.sendall(PROTOCOL_HEADER)
                return connection.recv(1) == METHOD_FRAME
        except OSError:
            return False
