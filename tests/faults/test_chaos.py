"""The promise, as a whole: while everything is killed, frozen and cut off, nothing is lost, nothing that was
replaced comes back, and all regions end equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.report import text
from tests.faults.run import Options, Report, chaos
from tests.services.cluster import KafkaCluster
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.mariadb import MariaDB
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services

SHORT = Options(faults=12, seed=27, gap_s=(0.5, 2.0), change_every_s=0.2)
LONG = Options(faults=200, seed=7)


@pytest.fixture
def cache(tmp_path: Path, services_cache: Path) -> Path:
    """What the services need is on this machine."""
    kafka = KafkaCluster(tmp_path / "kafka", services_cache)
    try:
        for one in (kafka.brokers[0], RabbitMQ(tmp_path / "rabbitmq"), MariaDB(tmp_path / "mariadb")):
            one.provision()
    except ServiceUnavailable as error:
        refuse(str(error))
    return services_cache


def told(report: Report) -> str:
    return f"{text(report)}\n{report.logs}"


@pytest.mark.parametrize(
    "options", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.slow)]
)
async def test_nothing_is_lost_and_nothing_replaced_comes_back(
    options: Options, tmp_path: Path, cache: Path
) -> None:
    report = await chaos(options, tmp_path / "run", cache)
    assert report.kept, told(report)
    assert sum(report.faults.values()) == options.faults
    assert report.changes > options.faults, told(report)
    assert report.books.states["delivered"] > report.changes / 2, told(report)
