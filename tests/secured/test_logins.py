"""What a region's worker may do in its CloudStack's own database is what it needs, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from pipeline.core.passwords import Login, stands_for
from pipeline.sandbox.passwords import matches, stored
from pipeline.sandbox.usertable import UserTable
from pipeline.userdb.logins import LoginStore
from tests.secured import canaries, documented
from tests.secured.services import Secured
from tests.secured.test_rights import OF_NOBODY, refused_at
from tests.unit.userdb.rows import Row

pytestmark = pytest.mark.services


@pytest.fixture
def cloud(secured: Secured) -> Iterator[str]:
    """The worker's URL of CloudStack's own database, with what is documented granted on it."""
    engine = create_engine(secured.mariadb.address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE cloud CHARACTER SET utf8mb4"))
        own = make_url(secured.mariadb.address).set(database="cloud").render_as_string(hide_password=False)
        users = UserTable(own)
        users.keep(Row(1, "ann", stored("made up")), 1)
        users.close()
        for statement in documented.grants("3-logins.sql", canaries.DATABASE):
            connection.execute(text(statement))
    worker = make_url(secured.mariadb.url("region-sync", canaries.DATABASE)).set(database="cloud")
    yield worker.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE cloud"))
    engine.dispose()


def test_a_worker_reads_and_writes_logins_and_nothing_else(cloud: str) -> None:
    store = LoginStore.at(cloud)
    store.rehearse()
    known = stands_for(store.read(["ann"])["ann"])
    assert known is not None
    store.replace("ann", known, Login(stored("hers"), "NATIVE"))
    assert matches("hers", store.read(["ann"])["ann"].password)
    for statement in (
        "SELECT secret_key FROM user",
        "SELECT * FROM user",
        f"UPDATE user SET state = 'enabled' {OF_NOBODY}",
        f"UPDATE user SET api_key = NULL {OF_NOBODY}",
        f"DELETE FROM user {OF_NOBODY}",
        "INSERT INTO user (uuid) VALUES ('x')",
        "CREATE TABLE another (id INT)",
    ):
        assert refused_at(cloud, statement), statement
