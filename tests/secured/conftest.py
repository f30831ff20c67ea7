"""One set of secured services for all tests here; they start at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.secured import canaries, documented
from tests.secured.installation import prepare_database, prepare_kafka
from tests.secured.services import Secured
from tests.services.certificates import Authority
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.secured import BusUser, SecuredKafka, SecuredMariaDB, SecuredRabbitMQ

REGIONS = ("r1", "r2")


@pytest.fixture(scope="package")
def secured(tmp_path_factory: pytest.TempPathFactory, services_cache: Path) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, stranger = Authority(folder / "authority"), Authority(folder / "stranger")
    kafka = SecuredKafka(folder / "kafka", services_cache, authority)
    users = {
        user: BusUser(canaries.BUS, *permissions)
        for name in REGIONS
        for user, permissions in documented.bus_permissions(name, f"cloudstack-events-{name}").items()
    }
    rabbitmq = SecuredRabbitMQ(folder / "rabbitmq", authority, users)
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


@pytest.fixture(scope="package")
def granted(secured: Secured) -> Secured:
    """With users of our own, who may do what is documented."""
    prepare_kafka(secured, REGIONS)
    prepare_database(secured)
    return secured
