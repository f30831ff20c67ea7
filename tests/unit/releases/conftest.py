"""What reads messages on the code of the release before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.releases import reader
from tests.releases.kept import asking

Reading = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def before(release_before: Path) -> Iterator[Reading]:
    """`reader.read`, by the release before."""
    with asking(release_before, Path(reader.__file__)) as ask:
        yield lambda what, text: ask([what, text])
