"""The pytest plugin that hands the real services to tests; registered by tests/conftest.py.

Out: the session fixtures `amqp_url` and `kafka_bootstrap`, `database_url` (a fresh database per test module,
dropped after it), and `services_cache` (what a test's own Kafka needs). A service that runs or is given by
the environment is used as it is; otherwise it is started now, and stopped with the session. One that cannot
be had fails the tests in CI (CI=true), and skips them with the reason elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from tests.services.stack import AMQP, DATABASE, KAFKA, stack

Address = Callable[[str], str]


@pytest.fixture(scope="session")
def service_address() -> Iterator[Address]:
    """Gives the address of one service by its variable's name; a lease of it is held to the end of the
    session.
    """
    with contextlib.ExitStack() as leases:
        known: dict[str, str] = {}
        missing: dict[str, str] = {}

        def address(variable: str) -> str:
            if variable not in known and variable not in missing:
                outcome = leases.enter_context(stack().lease([variable]))
                known.update(outcome.addresses)
                missing.update(outcome.missing)
            if variable in missing:
                refuse(missing[variable])
            return known[variable]

        yield address


@pytest.fixture(scope="session")
def amqp_url(service_address: Address) -> str:
    """The URL of a RabbitMQ whose default virtual host is shared: name exchanges and queues uniquely."""
    return service_address(AMQP)


@pytest.fixture(scope="session")
def kafka_bootstrap(service_address: Address) -> str:
    """`host:port` of a Kafka that is shared: name topics and groups uniquely. Topics are not created by
    use.
    """
    return service_address(KAFKA)


@pytest.fixture(scope="module")
def database_url(service_address: Address) -> Iterator[str]:
    """The SQLAlchemy URL of an empty MariaDB database of this test module's own."""
    with empty_database(service_address(DATABASE), "region_sync") as url:
        yield url


@pytest.fixture
def clouds(service_address: Address) -> Iterator[tuple[str, str]]:
    """Two empty ones more, of the test's own: they stand for the databases of two regions' CloudStacks."""
    server = service_address(DATABASE)
    with empty_database(server, "cloud") as one, empty_database(server, "cloud") as other:
        yield one, other


@contextmanager
def empty_database(address: str, prefix: str) -> Iterator[str]:
    server = sqlalchemy.make_url(address)
    name = f"{prefix}_{uuid.uuid4().hex[:16]}"
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name}"))
        engine.dispose()


@pytest.fixture(scope="session")
def services_cache() -> Path:
    """The folder with the jars: `Kafka(tmp_path / "kafka", services_cache)` is a broker of the test's own."""
    return stack().folder


def refuse(reason: str) -> None:
    """Fail in CI, skip elsewhere: a run without the real services must not look like a success there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
