"""What every test can ask for: the real services. Fixtures of one folder's own live in that folder's
conftest.py.

`make test` runs two processes: whatever works with whole services, one after the other, in the one, as they
would hear each other's messages; the unit tests in the other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.services.fixtures"]

UNIT = Path(__file__).parent / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(UNIT):
            item.add_marker(pytest.mark.xdist_group("services"))
