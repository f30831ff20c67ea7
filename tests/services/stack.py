"""The three services that everybody shares: in one folder, started and stopped together.

In: the folder, and the environment, where addresses that a person has come first. Out: addresses by variable
name. Called by __main__ and by the pytest fixtures.

Who started them decides who stops them. `start` (make services) keeps them until `stop`. A `lease` (a test
run) starts what is missing and, when the last lease ends, stops the services again unless somebody called
`start`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.services.errors import ServiceUnavailable
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB
from tests.services.rabbitmq import RabbitMQ
from tests.services.service import Service

AMQP = "REGION_SYNC_TEST_AMQP_URL"
KAFKA = "REGION_SYNC_TEST_KAFKA"
DATABASE = "REGION_SYNC_TEST_DATABASE_URL"
VARIABLES = (AMQP, KAFKA, DATABASE)
FOLDER = "REGION_SYNC_SERVICES_DIR"


@dataclass(frozen=True)
class Outcome:
    """What a start brought: addresses by variable, the reason for each that cannot be had, the names that
    were started now.
    """

    addresses: Mapping[str, str]
    missing: Mapping[str, str]
    started: Sequence[str]


def services_folder(environ: Mapping[str, str]) -> Path:
    """REGION_SYNC_SERVICES_DIR, else .services in the repository."""
    given = environ.get(FOLDER)
    return (Path(given) if given else Path(__file__).parents[2] / ".services").resolve()


class Stack:
    """RabbitMQ, Kafka and MariaDB below one folder."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = services_folder(environ)
        self.given = {variable: environ[variable] for variable in VARIABLES if environ.get(variable)}
        self.services: dict[str, Service] = {
            AMQP: RabbitMQ(self.folder / "rabbitmq"),
            KAFKA: Kafka(self.folder / "kafka", cache=self.folder),
            DATABASE: MariaDB(self.folder / "mariadb"),
        }

    def start(self) -> Outcome:
        """Bring up what does not run, and keep all until `stop`."""
        with self._locked():
            (self.folder / "on-demand").unlink(missing_ok=True)
            return self._bring_up(VARIABLES)

    def stop(self) -> None:
        """End what we started here and remove its data; logs and jars stay."""
        with self._locked():
            self._take_down()

    def addresses(self) -> dict[str, str]:
        """The variables of all that is given or running."""
        running = {
            variable: service.address for variable, service in self.services.items() if service.running()
        }
        return {**running, **self.given}

    @contextlib.contextmanager
    def lease(self, variables: Sequence[str] = VARIABLES) -> Iterator[Outcome]:
        """The services for the time of the block. Leases may overlap, in one process or many."""
        users, on_demand = self._lock_file("users"), self.folder / "on-demand"
        try:  # from here on, so that a start which is interrupted half-way is taken down too
            with self._locked():
                fcntl.flock(users, fcntl.LOCK_SH)
                if not any(service.running() for service in self.services.values()):
                    on_demand.touch()
                outcome = self._bring_up(variables)
            yield outcome
        finally:
            with self._locked():
                last = _is_last(users)
                users.close()
                if last and on_demand.exists():
                    self._take_down()

    def _bring_up(self, variables: Sequence[str]) -> Outcome:
        wanted = [variable for variable in variables if variable not in self.given]
        missing: dict[str, str] = {}
        for variable in wanted:  # one after the other: packages cannot be installed in parallel
            try:
                self.services[variable].provision()
            except ServiceUnavailable as error:
                missing[variable] = str(error)
        with ThreadPoolExecutor(len(VARIABLES)) as pool:
            results = list(
                pool.map(self._start_one, [variable for variable in wanted if variable not in missing])
            )
        missing |= {variable: reason for variable, _, reason in results if reason}
        self._write_env()
        addresses = {
            variable: address for variable, address in self.addresses().items() if variable in variables
        }
        return Outcome(
            addresses, missing, [self.services[variable].name for variable, new, _ in results if new]
        )

    def _start_one(self, variable: str) -> tuple[str, bool, str | None]:
        try:
            return variable, self.services[variable].start(), None
        except ServiceUnavailable as error:
            return variable, False, str(error)

    def _take_down(self) -> None:
        with ThreadPoolExecutor(len(VARIABLES)) as pool:
            list(pool.map(Service.discard, self.services.values()))
        for name in ("env", "on-demand"):
            (self.folder / name).unlink(missing_ok=True)

    def _write_env(self) -> None:
        fresh = self.folder / "env.new"
        fresh.write_text(
            "".join(f"{variable}={address}\n" for variable, address in sorted(self.addresses().items()))
        )
        fresh.rename(self.folder / "env")

    def _lock_file(self, name: str) -> IO[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / name).open("a")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time, over all processes; the kernel frees the lock of a process that
        dies.
        """
        with self._lock_file("lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stack() -> Stack:
    """The shared services of this checkout, as this process's environment has them."""
    return Stack(os.environ)
