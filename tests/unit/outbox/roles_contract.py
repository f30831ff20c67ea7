"""What `roles` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.core.records import Record
from pipeline.outbox import roles
from pipeline.outbox.hub import HubStore
from pipeline.outbox.roles import roles_needed
from tests.unit.outbox.builders import STAMP, Clock, Value, keep, record, removed


def account(uuid: str, role: str) -> Record:
    one = record(Kind.ACCOUNT, uuid, uuid)
    return replace(one, fields={**one.fields, "role": Value(role, STAMP)})


class RolesContract:
    def test_present_accounts_are_counted_by_their_role(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(roles, "AT_ONCE", 2)
        assert roles_needed(engine) == {}
        keep(
            HubStore(engine, Clock()),
            record(Kind.DOMAIN, "d"),
            account("a1", "Ops"),
            account("a2", "User"),
            account("a3", "User"),
            account("a4", "user"),
            removed(account("a5", "Gone")),
            record(Kind.USER, "u", parent="a1"),
        )
        assert roles_needed(engine) == {"User": 2, "Ops": 1, "user": 1}
        assert next(iter(roles_needed(engine))) == "User"
