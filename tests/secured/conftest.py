"""One set of secured services for all tests here; they start at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.certificates import Authority
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.secured import SecuredKafka, SecuredMariaDB, SecuredRabbitMQ

BUS_PASSWORD = "Canary/bus+5e1f"


@dataclass(frozen=True)
class Secured:
    """`stranger` is an authority that has signed nothing here."""

    kafka: SecuredKafka
    rabbitmq: SecuredRabbitMQ
    mariadb: SecuredMariaDB
    authority: Authority
    stranger: Authority


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory, services_cache: Path) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, stranger = Authority(folder / "authority"), Authority(folder / "stranger")
    kafka = SecuredKafka(folder / "kafka", services_cache, authority)
    rabbitmq = SecuredRabbitMQ(folder / "rabbitmq", authority, BUS_PASSWORD)
    mariadb = SecuredMariaDB(folder / "mariadb", authority)
    services = (kafka, rabbitmq, mariadb)
    with ExitStack() as stack:
        try:
            for one in services:  # packages cannot be installed in parallel
                one.provision()
                stack.callback(one.discard)
            with ThreadPoolExecutor(len(services)) as pool:
                list(pool.map(lambda one: one.start(), services))
        except ServiceUnavailable as error:
            refuse(str(error))
        yield Secured(kafka, rabbitmq, mariadb, authority, stranger)
