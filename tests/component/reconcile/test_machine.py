"""Whatever befalls the regions and the pipeline: after one scan of every region all are equal, or each
difference that is left is held, in quarantine, or refused with its reason.

A hypothesis state machine, the same steps in seeded schedules, and the proof that these can fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pipeline.agents import region
from pipeline.reconcile.scan import Scanner
from tests.component.reconcile.machine_laws import Findings, findings, removed_by_nobody
from tests.component.reconcile.machine_mishaps import Mishaps, schedule
from tests.component.reconcile.machine_world import MachineWorld

EXAMPLES, STEPS = 25, 30
EXAMPLES_LONG, STEPS_LONG = 1_500, 60
SCHEDULES, WITHOUT_A_RULE, STEPS_SEEDED = 12, 60, 40

CHANCE = st.integers(0, 2**32 - 1).map(random.Random)


def at_the_end(world: MachineWorld) -> Findings:
    """Nobody dies any more; one scan of every region, and all that follows."""
    for one in (world.hub, *world.active):
        one.process.left = None
    world.run(world.heal())
    found: Findings = world.run(findings(world))
    return found


class Machine(RuleBasedStateMachine):
    """Each rule is a step of `Mishaps`; what is checked comes when hypothesis has chosen enough of them."""

    folder: Path

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = MachineWorld(self.folder, seed=seed)
        self.mishaps = Mishaps(self.world)
        self.failed = False

    def do(self, name: str, chance: random.Random) -> None:
        self.failed = True
        self.world.run(getattr(self.mishaps, name)(chance))
        self.failed = False

    @rule(chance=CHANCE)
    def traffic(self, chance: random.Random) -> None:
        self.do("traffic", chance)

    @rule(chance=CHANCE)
    def deliver_and_work(self, chance: random.Random) -> None:
        for name in ("deliver", "work", "merge"):
            self.do(name, chance)

    @rule(chance=CHANCE, name=st.sampled_from(("work", "merge", "due", "settle")))
    def go_on(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    @rule(chance=CHANCE)
    def change_and_settle(self, chance: random.Random) -> None:
        self.do("traffic", chance)
        self.do("settle", chance)

    @rule(chance=CHANCE)
    def silence(self, chance: random.Random) -> None:
        self.do("silence", chance)

    @rule(chance=CHANCE, name=st.sampled_from(("snapshot", "restore")))
    def back_up(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    @rule(chance=CHANCE)
    def replay(self, chance: random.Random) -> None:
        self.do("replay", chance)

    @rule(chance=CHANCE, name=st.sampled_from(("edit", "edit", "vanish", "stranger")))
    def behind_the_back(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    @rule(chance=CHANCE, name=st.sampled_from(("overlap", "overlap", "join")))
    def join(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    @rule(chance=CHANCE, name=st.sampled_from(("kill", "restart")))
    def die(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    @rule(chance=CHANCE, name=st.sampled_from(("reform", "machines", "decide", "decide", "retry", "wait")))
    def rule_over_removals(self, chance: random.Random, name: str) -> None:
        self.do(name, chance)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.failed:
                assert at_the_end(self.world).broken == []
        finally:
            self.world.close()


def run_machine(folder: Path, examples: int, steps: int) -> None:
    class Here(Machine):
        pass

    Here.folder = folder
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


@pytest.fixture
def folder() -> Any:
    """In memory where the machine has such a place: nothing of it has to last."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def test_whatever_happens_one_scan_makes_all_equal_or_says_why_not(folder: Path) -> None:
    run_machine(folder, EXAMPLES, STEPS)


@pytest.mark.slow
def test_whatever_happens_one_scan_makes_all_equal_or_says_why_not_in_the_long_run(folder: Path) -> None:
    run_machine(folder, EXAMPLES_LONG, STEPS_LONG)


def broken_schedule(folder: Path, seed: int, steps: int = STEPS_SEEDED) -> list[str]:
    """What nothing accounts for at the end of a seeded schedule."""
    world = MachineWorld(folder, seed=seed)
    try:
        world.run(schedule(Mishaps(world), random.Random(seed), steps))
        return at_the_end(world).broken
    except AssertionError as error:
        return [str(error)]
    finally:
        world.close()


def test_seeded_schedules_end_equal(folder: Path) -> None:
    broken = {seed: found for seed in range(SCHEDULES) if (found := broken_schedule(folder, seed))}
    assert broken == {}


@pytest.mark.parametrize("seed", range(40, 50))
def test_where_people_remove_nothing_nothing_is_removed(seed: int, folder: Path) -> None:
    """Lost rows, restored backups, late events, deaths: none of it is taken for a removal."""
    world = MachineWorld(folder, seed=seed)
    try:
        world.run(schedule(Mishaps(world, nobody_removes=True), random.Random(seed), STEPS_SEEDED))
        at_the_end(world)
        assert removed_by_nobody(world) == []
    finally:
        world.close()


async def nothing_missing(*_: Any) -> Any:
    """A scan that looks at what is listed, and not at what is not."""
    for found in ():
        yield found


async def nothing_due(*_: Any) -> None:
    """What was parked is never woken."""


WITHOUT: list[tuple[Any, str, Callable[..., Any]]] = [
    (Scanner, "_missing", nothing_missing),
    (region.Desk, "send_due", nothing_due),
]


@pytest.mark.parametrize(("where", "name", "without"), WITHOUT, ids=[name for _, name, _ in WITHOUT])
def test_without_this_some_schedule_ends_otherwise(
    where: Any, name: str, without: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, without)
    assert any(broken_schedule(folder, seed) for seed in range(WITHOUT_A_RULE))
