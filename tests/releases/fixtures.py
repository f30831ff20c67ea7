"""The pytest plugin that hands the release before to tests; registered by tests/conftest.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.releases.kept import unpack


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its code, for PYTHONPATH; nobody writes there."""
    return unpack(tmp_path_factory.mktemp("release-before"))
