"""What the benchmarks stand on: a Kafka of their own, an empty database, processes and their CPU.

In: nothing but the services' folder and, for MariaDB and RabbitMQ, their addresses in the environment. Out:
addresses and running processes, all gone at the end. The broker is fresh each time, since the names of the
topics and groups are fixed and another run's messages would be taken for this one's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from rich.console import Console
from rich.table import Table

from pipeline.outbox.engine import Engine, migrate, open_database
from pipeline.reach import Kafka as Admin
from pipeline.reach import topic_names
from pipeline.settings import ALL, Settings
from tests.services.kafka import Kafka
from tests.services.stack import DATABASE, services_folder

PARTITIONS: Final = 12
STOP_LIMIT_S: Final = 20.0
BACKENDS: Final = ("mariadb", "sqlite")
QUIET: Final = {"log_level": 2}
"""The broker comes and goes with a benchmark: nobody needs to hear of it."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def kafka() -> Iterator[str]:
    """`host:port` of an empty broker."""
    with (
        tempfile.TemporaryDirectory(prefix="region-sync-bench-") as folder,
        Kafka(Path(folder) / "kafka", services_folder(os.environ)) as broker,
    ):
        yield broker.address


@contextmanager
def database(backend: str) -> Iterator[str]:
    """The URL of an empty database with its tables, on `mariadb` or `sqlite`."""
    opened = _mariadb() if backend == "mariadb" else _sqlite()
    with opened as url:
        migrate(url)
        yield url


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """An engine for this process, given back at the end."""
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="region-sync-bench-") as folder:
        yield f"sqlite:///{folder}/region-sync.db"


@contextmanager
def _mariadb() -> Iterator[str]:
    server = sqlalchemy.make_url(os.environ[DATABASE])
    name = f"region_sync_{uuid.uuid4().hex[:16]}"
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name}"))
        engine.dispose()


@dataclass(frozen=True, slots=True)
class Place:
    """One region for the settings; without keys it is only a name, whose worker never starts."""

    name: str
    endpoint: str = "http://127.0.0.1:9/client/api"
    apikey: str = "none"
    secretkey: str = "none"
    lanes: int = 16
    bus: Mapping[str, str] | None = None


def settings(brokers: str, database_url: str, places: Sequence[Place]) -> Settings:
    """The settings of a pipeline between these regions, `brokers` being `embedded` or an address."""
    tree: dict[str, object] = {
        "kafka": brokers,
        "database": database_url,
        "regions": [
            {
                "name": place.name,
                "host": place.endpoint.removesuffix("/client/api"),
                "api_key": place.apikey,
                "secret_key": place.secretkey,
                "lanes": place.lanes,
                **({"bus": dict(place.bus)} if place.bus else {}),
            }
            for place in places
        ],
    }
    return Settings.parse(tree, {}, ALL, "benchmark")


def make_topics(made: Settings) -> None:
    Admin(made.kafka, {"log_level": "2"}).ensure_topics(topic_names(made), made.partitions)


def written(made: Settings, folder: Path) -> Path:
    """The settings as the file that a process reads; YAML takes JSON."""
    file = folder / "regions.yaml"
    text = made.model_dump_json(exclude_none=True)
    for region in made.regions:  # a dump hides secrets
        for secret in (region.api_key, region.secret_key, region.bus.url):
            if secret is not None:
                text = text.replace("**********", secret.get_secret_value(), 1)
    file.write_text(text)
    return file


@dataclass(frozen=True, slots=True)
class Process:
    """A running process."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU that it and its threads have used."""
        return cpu_s(self.popen.pid)

    @property
    def peak_mib(self) -> float:
        """The most memory that it has held."""
        return memory_kib("VmHWM", self.popen.pid) / 1024

    def check(self) -> None:
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.popen.args} ended:\n{self.log.read_text()[-2000:]}")


@contextmanager
def process(folder: Path, arguments: Sequence[str]) -> Iterator[Process]:
    """`python ARGUMENTS`, told to stop at the end."""
    log = folder / f"{uuid.uuid4().hex[:8]}.log"
    with log.open("wb") as sink:
        popen = subprocess.Popen([sys.executable, *arguments], stdout=sink, stderr=subprocess.STDOUT)
        try:
            yield Process(popen, log)
        finally:
            popen.terminate()
            try:
                popen.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its threads have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_kib(what: str, pid: int | str = "self") -> int:
    """`VmRSS`, what a process holds now, or `VmHWM`, the most it has held."""
    (line,) = [
        one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith(f"{what}:")
    ]
    return int(line.split()[1])


def until(condition: Callable[[], bool], limit_s: float, running: Process, every_s: float = 0.05) -> None:
    """Waits; raises TimeoutError after the limit, and what the process said when it ended."""
    deadline = time.monotonic() + limit_s
    while not condition():
        running.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:.0f} s:\n{running.log.read_text()[-2000:]}")
        time.sleep(every_s)


class Ends:
    """How many messages topics hold, by one request a broker."""

    def __init__(self, brokers: str, names: Sequence[str], partitions: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": brokers, **QUIET})
        self._wanted = {TopicPartition(n, p): OffsetSpec.latest() for n in names for p in range(partitions)}

    def total(self) -> int:
        found = self._admin.list_offsets(self._wanted, request_timeout=10)
        return sum(one.result().offset for one in found.values())


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """One small table: the first column words, the others numbers."""
    table = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
