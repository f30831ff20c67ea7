"""On MariaDB, as CloudStack's own database is one; and what happens while it is away."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from pipeline.core.errors import TemporaryError
from pipeline.core.passwords import Login
from pipeline.sandbox.usertable import UserTable
from pipeline.userdb.logins import LoginStore
from tests.unit.userdb.logins_contract import LoginsContract

pytestmark = pytest.mark.services


class TestLogins(LoginsContract):
    @pytest.fixture
    def url(self, clouds: tuple[str, str]) -> str:
        return clouds[0]

    @pytest.fixture
    def engine(self, url: str) -> Iterator[Engine]:
        engine = create_engine(url)
        yield engine
        engine.dispose()


def test_a_database_that_is_away_is_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        store = LoginStore.at(f"mysql+pymysql://u:hush@127.0.0.1:{taken.getsockname()[1]}/cloud")
        with pytest.raises(TemporaryError, match="database: ") as told:
            store.read(["u1"])
    assert "hush" not in str(told.value)


def test_a_table_that_is_not_there_is_waited_for_too(clouds: tuple[str, str]) -> None:
    store = LoginStore.at(clouds[0])
    with pytest.raises(TemporaryError, match=r"^user_database: .*doesn't exist"):
        store.read(["u1"])
    with pytest.raises(TemporaryError, match=r"^user_database: .*doesn't exist"):
        store.replace("u1", "a", Login("b"))
    UserTable(clouds[0]).close()
    assert store.read(["u1"]) == {}
