"""One simulated region with its worker and the hub, and a scanner of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.agents.rig import rigged
from tests.component.reconcile.net import Net


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with rigged(tmp_path) as rig:
        yield Net(rig)
