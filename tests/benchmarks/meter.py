"""What MariaDB and a process of ours spend between two moments: CPU, statements, transactions, bytes of log.

In: the database's URL, the process. Out: differences. The server's CPU is read from /proc, so only of one
that runs on this machine; CPU is the measure here, since other work on the machine changes rates and not it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Engine, text

from tests.benchmarks import stage

COUNTERS: Final = ("Questions", "Com_commit", "Innodb_os_log_written")
SERVERS: Final = frozenset({"mariadbd", "mysqld"})


@dataclass(frozen=True, slots=True)
class Spent:
    """Of all units together, or of one. CPU in microseconds; `log_bytes`: of InnoDB's redo log."""

    process_us: float
    server_us: float
    statements: float
    transactions: float
    log_bytes: float

    def since(self, before: Spent) -> Spent:
        return Spent(*(mine - other for mine, other in zip(self._all(), before._all(), strict=True)))

    def plus(self, more: Spent) -> Spent:
        return Spent(*(mine + other for mine, other in zip(self._all(), more._all(), strict=True)))

    def each(self, units: float) -> Spent:
        return Spent(*(value / units for value in self._all()))

    def _all(self) -> tuple[float, ...]:
        return (self.process_us, self.server_us, self.statements, self.transactions, self.log_bytes)


class Meter:
    """Of one server, with whatever else uses it: nothing else should."""

    def __init__(self, engine: Engine, pid: int) -> None:
        self._engine = engine
        self._pid = pid

    def read(self, running: stage.Process) -> Spent:
        """What both have spent since they began."""
        with self._engine.connect() as connection:
            rows = connection.execute(text("SHOW GLOBAL STATUS")).all()
        told = {str(name): str(value) for name, value in rows}
        counted = (float(told[name]) for name in COUNTERS)
        return Spent(running.cpu_s * 1e6, stage.cpu_s(self._pid) * 1e6, *counted)

    def bytes_a_row(self, table: str) -> float:
        """Of a table with all its indexes, as InnoDB has laid them out."""
        with self._engine.connect() as connection:
            connection.execute(text(f"ANALYZE TABLE `{table}`")).all()
            size = connection.execute(
                text(
                    "SELECT data_length + index_length FROM information_schema.tables"
                    " WHERE table_schema = DATABASE() AND table_name = :name"
                ),
                {"name": table},
            ).scalar_one()
            rows = connection.execute(text(f"SELECT COUNT(*) FROM `{table}`")).scalar_one()
        return float(size) / float(rows)


@contextmanager
def meter(url: str) -> Iterator[Meter]:
    """For the server at `url`."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        yield Meter(engine, _pid(engine))
    finally:
        engine.dispose()


def _pid(engine: Engine) -> int:
    with engine.connect() as connection:
        folder, name = connection.execute(text("SELECT @@datadir, @@pid_file")).one()
    try:
        pid = int((Path(folder) / name).read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() in SERVERS:
            return pid
    except (OSError, ValueError):
        pass
    raise RuntimeError("the CPU of MariaDB can't be read: it must run on this machine (`make services`)")
