"""MariaDB from Debian's package, with datadir, socket and port of its own; its log, durable as in production.

In: a folder. Out: `mysql+pymysql://…` at 127.0.0.1, for a user that may create databases. Called by `stack`
and fault tests.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.service import Launch, Service

PACKAGES = ("mariadb-server",)
UNITS = ("mariadb",)
USER = "region_sync"
PROTOCOL_VERSION = 10  # the greeting's fifth byte; 255 is an error
ANSWER_LIMIT_S = 2.0
INITIALISE_LIMIT_S = 120

ACCESS = f"""\
CREATE DATABASE IF NOT EXISTS {USER} CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{USER}';
GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';
"""


class MariaDB(Service):
    """One server that listens on 127.0.0.1 only and reads none of the machine's configuration."""

    name = "mariadb"
    port_names = ("mysql",)

    @property
    def address(self) -> str:
        """The URL of the database `region_sync`, for SQLAlchemy."""
        return f"mysql+pymysql://{USER}:{USER}@127.0.0.1:{self.ports['mysql']}/{USER}?charset=utf8mb4"

    def provision(self) -> None:
        for program in ("mariadbd", "mariadb-install-db"):
            debian.require(program, PACKAGES, UNITS)

    def initialise(self, data: Path) -> None:
        program = debian.require("mariadb-install-db", PACKAGES, UNITS)
        done = subprocess.run(
            [
                str(program),
                "--no-defaults",
                f"--datadir={data}",
                f"--user={self._user()}",
                f"--tmpdir={self._own_tmp()}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=32M",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INITIALISE_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceUnavailable(
                f"mariadb-install-db failed: {(done.stderr or done.stdout).strip()[-600:]}"
            )

    def launch(self, data: Path) -> Launch:
        (self.folder / "access.sql").write_text(ACCESS)
        argv = [
            str(debian.require("mariadbd", PACKAGES, UNITS)),
            "--no-defaults",
            f"--datadir={data}",
            f"--user={self._user()}",
            f"--tmpdir={self._own_tmp()}",
            f"--port={self.ports['mysql']}",
            f"--init-file={self.folder / 'access.sql'}",
            "--bind-address=127.0.0.1",
            "--socket=mariadb.sock",  # in the datadir; a long path does not fit into an address
            "--pid-file=mariadb.pid",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            "--max-connect-errors=4000000000",  # the health probe never logs in
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--innodb-use-native-aio=0",  # several servers run out of the kernel's aio slots
        ]
        return Launch(argv, os.environ)

    def healthy(self) -> bool:
        """The port opens only after the init file was executed, so a greeting means that the user exists."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports["mysql"]), ANSWER_LIMIT_S) as connection:
                greeting = connection.recv(5)
                return len(greeting) == 5 and greeting[4] == PROTOCOL_VERSION
        except OSError:
            return False

    def _own_tmp(self) -> Path:
        """A server that starts removes what others, it thinks, left behind in theirs."""
        folder = self.folder / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _user(self) -> str:
        return "root" if os.geteuid() == 0 else str(os.geteuid())
