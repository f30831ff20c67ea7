"""A database of the release before, on MariaDB; and the release before on this one's tables."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import migrate
from tests.releases import stores
from tests.releases.kept import unpack
from tests.services.fixtures import Address, empty_database
from tests.services.stack import DATABASE
from tests.unit.outbox.upgrade_contract import UpgradeContract, statements

CONTRACTS: Final = "tests/component/outbox/test_mariadb.py"
LIMIT_S: Final = 400.0

pytestmark = pytest.mark.services


class TestUpgrade(UpgradeContract):
    @pytest.fixture
    def url(self, service_address: Address) -> Iterator[str]:
        with empty_database(service_address(DATABASE), "of_before") as url:
            yield url

    def test_no_table_is_copied_or_locked_meanwhile(self, url: str, of_before: Engine) -> None:
        """MariaDB refuses a statement that can't be done in the way that is asked for."""
        changed = []

        def demanding(statement: str) -> str:
            if re.match(r"\s*ALTER TABLE", statement):
                changed.append(statement)
                return f"{statement}, ALGORITHM=INSTANT"
            if re.match(r"\s*CREATE (UNIQUE )?INDEX", statement):
                changed.append(statement)
                return f"{statement} ALGORITHM=NOCOPY LOCK=NONE"
            return statement

        with statements(demanding):
            migrate(url)

        assert changed


@pytest.mark.parametrize(
    ("chosen", "least"),
    [
        pytest.param("TestHub or TestRegion or TestAudit or TestUntold or TestHolds", 80, id="the walk"),
        pytest.param("Test", 250, id="all", marks=pytest.mark.slow),
    ],
)
def test_the_stores_of_the_release_before_keep_their_contracts_on_newer_tables(
    service_address: Address, tmp_path: Path, chosen: str, least: int
) -> None:
    code = unpack(tmp_path / "release-before")
    shutil.copy(stores.__file__, (code / CONTRACTS).with_name("conftest.py"))
    with empty_database(service_address(DATABASE), "newer") as url:
        migrate(url)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", CONTRACTS, "-k", chosen],
            cwd=code,
            env={**os.environ, "PYTHONPATH": str(code), stores.VARIABLE: url},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) >= least
