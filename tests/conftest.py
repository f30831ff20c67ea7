"""What every test can ask for: the real services, and the release before. Fixtures of one folder's own live
in that folder's conftest.py.

`make test` runs the tests in two processes. Tests that share one Kafka or one RabbitMQ meet in consumer
groups and topics, so all of these are one group, which stays in one process; so do the tests of a file, and
those of the folders that start services of their own for all of their tests.
"""

from __future__ import annotations

from typing import Final

import pytest

pytest_plugins = ["tests.services.fixtures", "tests.releases.fixtures"]

SHARED: Final = frozenset({"amqp_url", "kafka_bootstrap"})
TOGETHER: Final = ("tests/secured/", "tests/browser/", "tests/services/")


@pytest.hookimpl(tryfirst=True)  # xdist reads the mark in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))


def group_of(item: pytest.Item) -> str:
    """Whose tests one process runs, one after the other."""
    if SHARED & set(getattr(item, "fixturenames", ())):
        return "shared"
    file = item.nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(folder)), file)
