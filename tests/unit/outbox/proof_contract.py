"""What `proofs` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.outbox.proofs import Proof, keep_proofs, read_proofs
from tests.unit.outbox.builders import NOW

PROOF = Proof(NOW, "r1", "f" * 64, 2_000, 10_000, 45_012, equal=True, differences=0)


class ProofContract:
    @pytest.mark.statements
    def test_what_was_kept_is_shown_later_the_newest_first(self, engine: Engine) -> None:
        first = [PROOF, replace(PROOF, region="r2")]
        second = [replace(one, time=NOW + 1, equal=False, differences=3) for one in first]
        keep_proofs(engine, first)
        keep_proofs(engine, second)
        keep_proofs(engine, [])
        assert read_proofs(engine, 10) == [*reversed(second), *reversed(first)]
        assert read_proofs(engine, 1) == [second[1]]
