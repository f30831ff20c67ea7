"""What `roles` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, Record
from pipeline.core.roles import RULES_MAX
from pipeline.outbox import roles, schema
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.roles import roles_needed
from tests.unit.outbox.builders import NOW, STAMP, Clock, Value, desired, keep, record, removed, row


def account(uuid: str, role: str) -> Record:
    one = record(Kind.ACCOUNT, uuid, uuid)
    return replace(one, fields={**one.fields, "role": Value(role, STAMP)})


class RolesContract:
    @pytest.mark.statements
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

    @pytest.mark.statements
    def test_a_role_is_found_by_its_name_without_case(self, engine: Engine) -> None:
        region = RegionStore(engine, "r2", Clock())
        assert region.role_called("Ops") is None
        keep(
            HubStore(engine, Clock()),
            record(Kind.DOMAIN, "d", "ops"),
            removed(record(Kind.ROLE, "old", "ops")),
            record(Kind.ROLE, "crew", "crew"),
        )
        assert region.role_called("Ops") is None
        keep(HubStore(engine, Clock()), record(Kind.ROLE, "new", "ops"))
        assert region.role_called("Ops") == "new"

    def test_rules_as_long_as_may_be_are_kept_whole(self, engine: Engine) -> None:
        rules = "\n".join(f"allow {'x' * 85}{number:06}" for number in range(510))
        assert RULES_MAX - 1_000 < len(rules) <= RULES_MAX
        one = record(Kind.ROLE, "long", "long")
        one = replace(one, fields={**one.fields, "rules": Value(rules, STAMP)})
        lost = Conflict("long", "rules", rules, rules, STAMP, rules, STAMP)
        hub = HubStore(engine, Clock())
        hub.commit([Change(one, None, (desired(one),), (lost,))], NOW)
        assert hub.load(["long"])["long"].record.fields["rules"].text == rules
        assert row(engine, schema.conflict)["lost"] == rules
