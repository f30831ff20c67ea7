"""What a migration must not do is found."""

from __future__ import annotations

import pytest

from tests.unit.outbox.additions import Added, breach


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("\nCREATE TABLE gap (\n\tregion VARCHAR(64) NOT NULL)", None),
        ("ALTER TABLE `outbox` ADD COLUMN revokes BOOL", None),
        ("ALTER TABLE outbox ADD COLUMN times INTEGER DEFAULT '0' NOT NULL", None),
        ('CREATE INDEX ix_outbox_state ON "outbox" (state)', None),
        ("UPDATE entity SET email_key=%(email_key)s WHERE entity.uuid = %(uuid_1)s", None),
        ("UPDATE alembic_version SET version_num='0012' WHERE alembic_version.version_num = '0011'", None),
        ("SELECT entity.uuid FROM entity", None),
        ("CREATE UNIQUE INDEX uq ON new_table (region)", None),
        ("ALTER TABLE outbox ADD COLUMN revokes BOOL NOT NULL", "the release before can't fill this column"),
        ("CREATE UNIQUE INDEX uq ON outbox (region)", "the release before may write such rows"),
        (
            "UPDATE entity SET body=%(body)s WHERE uuid = 1",
            "a column of the release before is rewritten",
        ),
        ("UPDATE entity SET email_key=1, body=2 WHERE entity.uuid = 1", "no addition"),
        ("ALTER TABLE outbox DROP COLUMN state", "no addition"),
        ("ALTER TABLE outbox ADD COLUMN a INTEGER, DROP COLUMN b", "no addition"),
        ("ALTER TABLE outbox MODIFY result VARCHAR(10)", "no addition"),
        ("ALTER TABLE outbox RENAME TO outgoing", "no addition"),
        ("ALTER TABLE outbox ADD CONSTRAINT uq UNIQUE (region)", "no addition"),
        ("DROP INDEX ix_outbox_state ON outbox", "no addition"),
        ("DROP TABLE outbox", "no addition"),
        ("DELETE FROM outbox", "no addition"),
    ],
)
def test_statements(statement: str, wrong: str | None) -> None:
    added = Added({("entity", "email_key")}, {"new_table"})

    assert breach(statement, added) == wrong
