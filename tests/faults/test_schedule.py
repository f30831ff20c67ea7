"""A seed gives the same faults again, and a long run every kind of them."""

from __future__ import annotations

from tests.faults import schedule
from tests.faults.proxy import Fault
from tests.faults.schedule import Target

THERE = Target(
    {
        "bridge": ["bridge-r1"],
        "hub": ["hub-1", "hub-2"],
        "worker": ["worker-r1-1", "worker-r1-2"],
        "spare": ["worker-r3-2"],
        "broker": ["broker-1", "broker-2", "broker-3"],
        "rabbitmq": ["rabbitmq"],
        "mariadb": ["mariadb"],
    },
    ["hub-mariadb", "worker-r1"],
)
GAP_S = (0.5, 4.5)


def test_the_same_seed_gives_the_same_faults() -> None:
    assert schedule.schedule(7, 60, THERE, GAP_S) == schedule.schedule(7, 60, THERE, GAP_S)
    assert schedule.schedule(7, 60, THERE, GAP_S) != schedule.schedule(8, 60, THERE, GAP_S)


def test_sixty_faults_have_every_kind() -> None:
    planned = schedule.schedule(1, 60, THERE, GAP_S)
    labels = {one.label for one in planned}
    kinds = (*schedule.PROCESSES, *schedule.SERVICES)
    assert labels >= {f"kill {kind}" for kind in kinds}
    assert labels >= {f"network {fault.value}" for fault in Fault}
    assert labels >= {schedule.KILL_SOME, schedule.KILL_ALL, schedule.KILL_EVERYTHING}
    assert labels >= {"freeze worker", "freeze hub", "freeze bridge", "join worker", "leave worker"}


def test_a_frozen_process_is_frozen_for_longer_than_its_session() -> None:
    planned = schedule.schedule(1, 200, THERE, GAP_S)
    frozen = [one for one in planned if one.kind == schedule.FREEZE and one.targets[0].startswith("worker")]
    assert frozen
    assert all(one.lasts_s > schedule.SESSION_S for one in frozen)
