"""One simulated region with its worker and the hub, and what compares it with the records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.agents.rig import rigged as worker_rigged
from tests.component.reconcile.net import Net
from tests.component.reconcile.rig import Rig, rigged


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as rig:
        yield rig


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with worker_rigged(tmp_path) as rig:
        yield Net(rig)
