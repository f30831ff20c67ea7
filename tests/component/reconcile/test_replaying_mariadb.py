"""`replay` over MariaDB, where the hub, the worker and two replays write at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.core.entities import Kind
from pipeline.core.replay import Touched
from pipeline.outbox.acting import By
from pipeline.reconcile.replaying import Replayer
from tests.component.agents.rig import rigged
from tests.component.reconcile.net import Net
from tests.component.reconcile.test_replaying import (
    LIMIT_S,
    STALLED_S,
    Killed,
    Told,
    reads,
    replay,
    states,
    store_of,
    work,
)

pytestmark = pytest.mark.services


async def test_right_lost_killed_and_two_at_once(tmp_path: Path, database_url: str) -> None:
    async with rigged(tmp_path, url=database_url) as rig:
        net = Net(rig)
        await net.family()
        came = await replay(net)
        assert (came.done, came.failed, came.waiting, net.rig.writes()) == (4, [], 0, {})

        net.lose("User", "bob")
        first = store_of(net)
        first.dies_after = 1
        begun = first.begin("2h", 0, By("ann", "2h", net.rig.clock()))
        with pytest.raises(Killed):
            await Replayer(first, 0.0).run(begun, [Touched("dom", Kind.DOMAIN, "ROOT", True)], {})
        await net.rest()
        net.rig.region.calls.clear()
        again = store_of(net)
        same = Told(net)
        found = again.touched(0)
        both = asyncio.gather(
            Replayer(again, 0.0, STALLED_S).run(again.begin("2h", 0, By("ann", "2h", 1)), *found),
            Replayer(same, 0.0, STALLED_S).run(same.begin("2h", 0, By("bob", "2h", 1)), *found),
        )
        async with asyncio.timeout(LIMIT_S):
            while not both.done():
                await work(net)
                await asyncio.sleep(0.01)
        for came in await both:
            assert (came.over, came.before, came.failed, came.waiting) == (4, 1, [], 0)
        assert "bob" in net.names("users")
        assert reads(net)["listAccounts"] == 1
        assert net.rig.writes()["createUser"] == 2, "the first under a UUID that is used up"
        assert states(net) == {"delivered": 13}, "three times all four; of bob once more"
