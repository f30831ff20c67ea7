"""What `LoginStore` promises over CloudStack's table of users: run on SQLite and on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from pipeline.core.passwords import Login, stands_for
from pipeline.sandbox.passwords import matches, stored
from pipeline.sandbox.usertable import UserTable
from pipeline.sandbox.usertable import user as table
from pipeline.userdb.logins import AT_ONCE, Changed, LoginStore
from tests.unit.userdb.rows import Row


def value(login: Login) -> str:
    found = stands_for(login)
    assert found is not None
    return found


def held(engine: Engine, uuid: str) -> tuple[str, str, str | None]:
    with engine.connect() as connection:
        columns = (table.c.password, table.c.source, table.c.external_entity)
        row = connection.execute(select(*columns).where(table.c.uuid == uuid)).one()
    return row.password, row.source, row.external_entity


class LoginsContract:
    @pytest.fixture
    def url(self) -> str:
        """Of a database in which there is no table of users yet, or one that is empty."""
        raise NotImplementedError

    @pytest.fixture
    def users(self, url: str) -> UserTable:
        return UserTable(url)

    @pytest.fixture
    def store(self, users: UserTable, url: str) -> LoginStore:
        return LoginStore.at(url)

    def test_what_is_there_is_read_and_removed_ones_are_not(
        self, users: UserTable, store: LoginStore
    ) -> None:
        for number in range(AT_ONCE + 2):
            users.keep(Row(number, f"u{number}", f"hash-{number}"), 1)
        users.keep(Row(1, "u1", "", removed=True), 1)
        found = store.read([f"u{number}" for number in range(AT_ONCE + 2)] + ["nobody"])
        assert len(found) == AT_ONCE + 1 and "u1" not in found
        assert found["u2"] == Login("hash-2", "UNKNOWN", "") and found[f"u{AT_ONCE + 1}"].is_native

    def test_a_login_is_replaced_once_and_its_password_is_good(
        self, users: UserTable, store: LoginStore, engine: Engine
    ) -> None:
        users.keep(Row(1, "ann", stored("made up")), 1)
        users.keep(Row(2, "bob", stored("bob's")), 1)
        before, bob = store.read(["ann"])["ann"], held(engine, "bob")
        login = Login(stored("ann's"), "NATIVE")
        for _ in range(2):
            store.replace("ann", value(before), login)
        assert matches("ann's", held(engine, "ann")[0]) and not matches("made up", held(engine, "ann")[0])
        assert held(engine, "ann")[1:] == ("NATIVE", None)
        assert held(engine, "bob") == bob

    def test_a_rehearsal_changes_nothing(self, users: UserTable, store: LoginStore, engine: Engine) -> None:
        users.keep(Row(1, "ann", stored("hers")), 1)
        before = held(engine, "ann")
        store.rehearse()
        assert held(engine, "ann") == before

    def test_a_change_that_nobody_has_told_yet_is_left_alone(
        self, users: UserTable, store: LoginStore, engine: Engine
    ) -> None:
        users.keep(Row(1, "ann", stored("first")), 1)
        known = value(store.read(["ann"])["ann"])
        users.set_password(1, stored("her own newer one"))
        with pytest.raises(Changed, match="was changed, or it was removed, since it was read"):
            store.replace("ann", known, Login(stored("another")))
        assert matches("her own newer one", held(engine, "ann")[0])
        with pytest.raises(Changed):
            store.replace("nobody", known, Login(stored("another")))

    def test_a_user_of_an_identity_provider_keeps_its_column_of_no_use(
        self, users: UserTable, store: LoginStore, engine: Engine
    ) -> None:
        users.keep(Row(1, "ann", stored("made up")), 1)
        before = store.read(["ann"])["ann"]
        store.replace("ann", value(before), Login("", "SAML2", "https://idp"))
        assert held(engine, "ann") == (before.password, "SAML2", "https://idp")
        federated = store.read(["ann"])["ann"]
        assert value(federated).startswith("saml2:")
        store.replace("ann", value(federated), Login(stored("native again"), "NATIVE"))
        assert held(engine, "ann")[1:] == ("NATIVE", None) and matches("native again", held(engine, "ann")[0])

    def test_the_source_is_written_as_cloudstack_spells_it(
        self, users: UserTable, store: LoginStore, engine: Engine
    ) -> None:
        users.keep(Row(1, "ann", stored("made up")), 1)
        store.replace("ann", value(store.read(["ann"])["ann"]), Login("", "saml2", "https://idp"))
        assert held(engine, "ann")[1] == "SAML2"
        store.replace("ann", value(store.read(["ann"])["ann"]), Login(stored("hers"), ""))
        assert held(engine, "ann")[1] == "UNKNOWN", "no longer the provider's"
        assert matches("hers", held(engine, "ann")[0])
