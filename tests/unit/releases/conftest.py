"""The release before, and what reads messages on its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.releases import reader
from tests.releases.kept import asking, unpack

Reading = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its code."""
    return unpack(tmp_path_factory.mktemp("release-before"))


@pytest.fixture(scope="session")
def before(release_before: Path) -> Iterator[Reading]:
    """`reader.read`, by the release before."""
    with asking(release_before, Path(reader.__file__)) as ask:
        yield lambda what, text: ask([what, text])
