"""A region that fails in each way a caller can see, at each verb: the same end as if nothing had been, and no
change made twice."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.cloudstack import errors, transport
from pipeline.cloudstack.errors import Unreachable
from pipeline.cloudstack.session import is_read
from pipeline.core.entities import DISABLED, ENABLED, LOCKED, ROOT, Kind
from pipeline.core.records import Observation
from pipeline.outbox.schema import attempt
from tests.component.agents.rig import FAR, Rig, rigged
from tests.faults.life import VERBS, End, Life, carried_out, live
from tests.unit.agents.regions import UUID_KINDS, account, domain, gone, user
from tests.unit.outbox.builders import rows

IN_FRONT: Final = (
    "error_ratio",
    "drop_before_ratio",
    "html_ratio",
    "redirect_ratio",
    "stranger_ratio",
    "curt_ratio",
)
"""The call never gets there."""
ON_THE_WAY_BACK: Final = (
    "drop_after_ratio",
    pytest.param("html_after_ratio", marks=pytest.mark.slow),
    "cut_ratio",
    pytest.param("endless_ratio", marks=pytest.mark.slow),
)
"""The call takes effect, and its caller does not learn of it."""
PATIENCE_S: Final = 0.25
LIMIT_S: Final = 60.0

Strike = Callable[[str, int], str | None]
"""Command, and how often it was called before → the switch that is on during this call."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> End:
    async def run() -> End:
        async with rigged(tmp_path_factory.mktemp("undisturbed")) as rig:
            return await live(rig)

    return asyncio.run(run())


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Rig]:
    """A worker that soon gives an answer up."""
    async with rigged(tmp_path, timeout_s=PATIENCE_S) as one:
        yield one


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as one:
        yield one


def struck(rig: Rig, strike: Strike) -> dict[str, int]:
    """Each call meets the fault that `strike` names for it; how often each verb was struck."""
    real = rig.desk.client.call
    made: dict[str, int] = {}
    counts: dict[str, int] = {}

    async def call(command: str, params: dict[str, str]) -> dict[str, Any]:
        fault = strike(command, made.get(command, 0))
        made[command] = made.get(command, 0) + 1
        if fault is None:
            return await real(command, params)
        counts[command] = counts.get(command, 0) + 1
        rig.region.faults.update({fault: 1.0})
        try:
            return await real(command, params)
        finally:
            rig.region.faults.update({fault: 0.0})

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    return counts


async def test_what_never_reaches_the_region_is_asked_again(
    rig: Rig, undisturbed: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb, and every reading command, meets every such fault."""
    monkeypatch.setattr(errors, "throttled_for_s", lambda _text: 0.01)
    counts = struck(rig, lambda _command, before: IN_FRONT[before] if before < len(IN_FRONT) else None)
    end = await live(rig)
    assert (end.region, end.done) == (undisturbed.region, undisturbed.done)
    assert end.states.keys() == {"delivered"}
    assert {command for command in counts if not is_read(command)} == VERBS
    assert all(counts[verb] == len(IN_FRONT) for verb in VERBS)


@pytest.mark.parametrize("fault", ON_THE_WAY_BACK)
async def test_what_was_done_unheard_is_not_done_again(
    fault: str, rig: Rig, undisturbed: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BODY_MAX_BYTES", 1_000_000)
    counts = struck(rig, lambda command, before: fault if command in VERBS and not before else None)
    end = await live(rig)
    assert counts.keys() == VERBS
    assert (end.region, end.done) == (undisturbed.region, undisturbed.done)
    assert end.states.keys() == {"delivered"}


async def test_a_region_that_hangs_is_given_up_and_asked_again(hasty: Rig, undisturbed: End) -> None:
    counts = struck(hasty, lambda _command, before: None if before else "hang_ratio")
    end = await live(hasty)
    assert counts.keys() > VERBS
    assert (end.region, end.done) == (undisturbed.region, undisturbed.done)
    assert end.states.keys() == {"delivered"}


async def test_a_job_whose_result_cannot_be_asked_for_is_not_started_again(
    rig: Rig, undisturbed: End
) -> None:
    """The region knows the job no more: only a read tells how it ended."""
    jobs = {"disableAccount", "disableUser", "deleteAccount", "deleteDomain"}
    counts = struck(rig, lambda command, _before: "forgotten_ratio" if command in jobs else None)
    end = await live(rig)
    assert counts.keys() == jobs
    assert (end.region, end.done) == (undisturbed.region, undisturbed.done)
    assert end.states.keys() == {"delivered"}


async def test_a_forgotten_job_that_has_not_ended_yet_is_found_out(rig: Rig) -> None:
    """The read comes before the job's end: the removal is asked for once more, which harms nothing."""
    await rig.tell(domain(FAR, "dom"))

    def strike(command: str, before: int) -> str | None:
        if command != "deleteDomain":
            return None
        rig.region.faults.job_delay_ms = 0.0 if before else 3_600_000.0
        return "forgotten_ratio"

    counts = struck(rig, strike)
    await carried_out(rig, rig.merge(*Life({"dom": domain(FAR, "dom")}).gone(Kind.DOMAIN, "dom")))
    assert counts["deleteDomain"] == 2
    assert rig.region.dump()["domains"] == {}


@pytest.mark.parametrize("fault", ["html_ratio", "stranger_ratio", "redirect_ratio", "cut_ratio"])
async def test_an_answer_of_somebody_else_is_never_taken_for_an_absence(fault: str, rig: Rig) -> None:
    """Not even where everything is answered so, the event log too."""
    await rig.tell(domain(FAR, "dom"))
    rig.region.faults.update({fault: 1.0})
    work = asyncio.create_task(rig.look(Kind.DOMAIN, "dom"))
    async with asyncio.timeout(LIMIT_S):
        while not rig.worker.guard.waiting:
            await asyncio.sleep(0)
    assert rig.observed() == []
    rig.region.faults.update({fault: 0.0})
    await work
    (seen,) = rig.observed()
    assert seen.fields is not None


async def test_an_answer_without_an_end_costs_little_memory(rig: Rig) -> None:
    """Up to the limit and not beyond, with as many at once as there are lanes."""
    rig.region.faults.endless_ratio = 1.0
    client = rig.desk.client
    tracemalloc.start()
    try:
        outcomes = await asyncio.gather(
            *(client.call("listUsers", {"listall": "true"}) for _ in range(4)), return_exceptions=True
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(isinstance(one, Unreachable) for one in outcomes)
    assert peak < 4 * 1.5 * transport.BODY_MAX_BYTES


# --- answers that come too late, and what was asked then takes effect all the same


class Late:
    """The first call of `command` lies in the region until it is let go; its caller is gone by then."""

    def __init__(self, rig: Rig, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._command = command
        self._real = rig.region.server._before
        self._dispatched = asyncio.Event()
        self.go = asyncio.Event()
        self.came = 0
        self.go_at_the_second = False
        monkeypatch.setattr(rig.region.server, "_before", self._before)

    async def _before(self, http: Any, given: Any) -> Any:
        if given.get("command") != self._command:
            return await self._real(http, given)
        self.came += 1
        if self.came == 1:
            await self.go.wait()
            asyncio.get_running_loop().call_soon(self._dispatched.set)
        elif self.go_at_the_second and not self._dispatched.is_set():
            self.go.set()
            await self._dispatched.wait()
        return await self._real(http, given)

    async def took_effect(self) -> None:
        assert self.came, f"{self._command} was never called"
        self.go.set()
        await self._dispatched.wait()
        await asyncio.sleep(0)


@asynccontextmanager
async def arranged(rig: Rig, upto: int, command: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Late]:
    """A life up to this step; from then on the verb comes late."""
    steps = Life().steps()
    for _ in range(upto):
        await carried_out(rig, rig.merge(*next(steps)))
    async with AsyncExitStack() as stack:
        late = Late(rig, command, monkeypatch)
        stack.callback(late.go.set)
        yield late


STEPS: Final = {
    "createDomain": 1,
    "createAccount": 2,
    "createUser": 4,
    "updateDomain": 5,
    "updateAccount": 6,
    "updateUser": 7,
    "disableUser": 8,
    "enableUser": 9,
    "lockUser": 10,
    "disableAccount": 11,
    "enableAccount": 12,
    "moveDomain": 14,
    "moveUser": 15,
    "deleteUser": 17,
    "deleteAccount": 18,
    "deleteDomain": 19,
}
"""Verb → the step of a life that needs it, counted from 1."""


@pytest.mark.parametrize(
    "when",
    [pytest.param("just before the second try", marks=pytest.mark.slow), "after all is done"],
)
async def test_a_call_that_is_carried_out_after_it_was_given_up(
    when: str, hasty: Rig, undisturbed: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each verb in turn, in one life: between the read and the second try, or long after that."""
    steps = Life().steps()
    verbs = {step: verb for verb, step in STEPS.items()}
    for number, seen in enumerate(steps, 1):
        if number not in verbs:
            await carried_out(hasty, hasty.merge(*seen))
            continue
        with monkeypatch.context() as patched:
            late = Late(hasty, verbs[number], patched)
            late.go_at_the_second = when.startswith("just")
            await carried_out(hasty, hasty.merge(*seen))
            assert late.came >= 2, verbs[number]
            await late.took_effect()
    assert hasty.region.dump() == undisturbed.region
    ended = {one["error"] for one in rows(hasty.engine, attempt) if one["status"] is None}
    assert any("no answer" in (words or "") for words in ended)


async def overtaken(rig: Rig, command: str, monkeypatch: pytest.MonkeyPatch, *said: Observation) -> None:
    """The first desired state's call is given up, a newer one is applied, and then that call takes effect."""
    late = Late(rig, command, monkeypatch)
    work = []
    for seen in said:
        work += [asyncio.create_task(rig.give(one)) for one in rig.merge(seen)]
        async with asyncio.timeout(LIMIT_S):
            while not late.came:
                await asyncio.sleep(0.005)
    await asyncio.gather(*work)
    rig.merge(*rig.observed())
    await late.took_effect()
    await rig.hear()
    await carried_out(rig, rig.merge(*rig.observed()))


@pytest.mark.parametrize(
    ("command", "uuid", "first", "then"),
    [
        ("updateDomain", "dom", {"name": "one"}, {"name": "two"}),
        ("updateAccount", "acc", {"networkdomain": "one.example"}, {"networkdomain": ""}),
        ("updateUser", "usr", {"email": "one@x"}, {"email": "two@x"}),
        ("disableUser", "usr", {"state": DISABLED}, {"state": ENABLED}),
        ("lockUser", "usr", {"state": LOCKED}, {"state": DISABLED}),
        ("disableAccount", "acc", {"state": DISABLED}, {"state": ENABLED}),
        ("moveDomain", "other", {"parent": "dom"}, {"parent": ROOT}),
        ("moveUser", "usr", {"parent": "acc2"}, {"parent": "acc"}),
    ],
)
async def test_a_late_call_brings_no_replaced_value_back(
    command: str,
    uuid: str,
    first: dict[str, str],
    then: dict[str, str],
    hasty: Rig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was given up, and a newer desired state was applied since: its effect is our own, and is undone."""
    life = Life()
    for seen in islice(life.steps(), 3):
        await carried_out(hasty, hasty.merge(*seen))
    await hasty.hear()
    held = hasty.region.dump()
    said = [*life.change(uuid, **first), *life.change(uuid, **then)]
    await overtaken(hasty, command, monkeypatch, *said)
    kind = said[0].kind
    now = (await hasty.desk.resources.read(kind, uuid)).fields or {}
    assert {name: now[name] for name in then} == then
    record = hasty.hub.load([uuid])[uuid].record
    assert {name: record.fields[name].text for name in then} == then
    assert command == "updateDomain" or hasty.region.dump().keys() == held.keys()


@pytest.mark.parametrize("kind", UUID_KINDS)
async def test_what_is_made_late_and_was_removed_since_does_not_stay(
    kind: Kind, hasty: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life()
    for seen in islice(life.steps(), 2):
        await carried_out(hasty, hasty.merge(*seen))
    made = {
        Kind.DOMAIN: domain(FAR, "new"),
        Kind.ACCOUNT: account(FAR, "new", parent="dom", founder="founder"),
        Kind.USER: user(FAR, "new"),
    }[kind]
    before = hasty.region.dump()
    await overtaken(hasty, f"create{kind}", monkeypatch, made, gone(FAR, kind, "new"))
    assert hasty.region.dump() == before
