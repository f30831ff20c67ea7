"""The commands `plan` and `apply`: what it would take to make a region equal, and just that carried out.

In: options. Out: a plan, entity by entity with its calls in order, or what came of it; exit code 0 equal or
all carried out, 2 differences or something left out, 1 error. `plan` writes to no region and to no record.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.database import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, DIFFERENT, FAILED, AsJson, Config, ThisRegion
from pipeline.cli.output import lasted, print_json, progress_bar
from pipeline.cli.person import by
from pipeline.cli.reaching import asking_of, reached

if TYPE_CHECKING:
    from pipeline.outbox.engine import Engine
    from pipeline.outbox.plans import PlanRow, StepRow
    from pipeline.reconcile.carrying import Carried
    from pipeline.reconcile.planning import Means
    from pipeline.settings import Region, Settings

SHOWN: Final = 100
"""Entities that are shown in full; `--json` has all."""
PAGE: Final = 500


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.command(epilog="Example: region-sync plan --region berlin")(plan)
    app.command(epilog="Example: region-sync apply --plan 3f9a1c0b7d2e4a65")(apply)


def plan(region: ThisRegion, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what it would take to make a region equal: what differs, every call in order, how long they take.

    Changes nothing in any region. Exit code 0: equal; 2: differences; 1: something could not be read.
    """
    from pipeline.settings import Role, load

    settings = load(config, Role("worker", region))
    with opened(settings) as engine:
        row = asyncio.run(made(settings, settings.region(region), engine))
        show(engine, row, as_json)
    raise typer.Exit(0 if row.equal else DIFFERENT)


def apply(
    digits: Annotated[
        str, typer.Option("--plan", metavar="HASH", help="The plan's hash, or its first digits.")
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Carry out just that plan, and name what is left out because it has changed since.

    The region's worker makes the calls, in mode plan too. Exit code 0: all of it; 2: something was left out;
    1: something was refused or held, or did not come to its end.
    """
    from pipeline.settings import HUB, Role, load

    with opened(load(config, HUB)) as engine:
        from pipeline.outbox.plans import find_plan

        row = find_plan(engine, digits)
        settings = load(config, Role("worker", row.region))
        carried = asyncio.run(carried_out(settings, settings.region(row.region), engine, row))
    tell_carried(row, carried, as_json)
    raise typer.Exit(code_of(carried))


async def made(settings: Settings, region: Region, engine: Engine) -> PlanRow:
    """A plan of the region as it is now."""
    from pipeline.reconcile.planning import Planner

    async with _means(settings, region, engine) as means:
        with _count(region.name) as told:
            return await Planner(means).make(told)


async def carried_out(settings: Settings, region: Region, engine: Engine, row: PlanRow) -> Carried:
    """The plan, as far as nothing has changed since."""
    from pipeline.reconcile.carrying import Carrier

    check_ready(region)
    with asking_of(settings, region) as asking:
        async with _means(settings, region, engine) as means:
            with progress_bar(region.name) as told:
                carrier = Carrier(means, asking)
                return await carrier.run(row, by(row.hash), lambda at: told(at.over, at.released))


def check_ready(region: Region) -> None:
    """Raises `CommandError` where nobody would carry anything out."""
    if not region.active:
        raise CommandError(f"region {region.name} is not active: set active: true and start its worker first")
    if region.mode.value == "paused":
        raise CommandError(f"region {region.name} is paused: its worker makes no call")


def show(engine: Engine, row: PlanRow, as_json: bool) -> None:
    """The plan, in the order of its calls."""
    if as_json:
        print_json(plan_as_json(engine, row))
        return
    shown = 0
    for step in steps_of(engine, row):
        if shown < SHOWN and step.told["drift"] != "matched":
            show_step(step)
        shown += 1
    if shown > SHOWN:
        print(f"... and {shown - SHOWN} more entities: --json has all of them")
    counts = ", ".join(f"{count:,} {drift}" for drift, count in row.counts.items())
    print(f"{row.region}: {counts}.")
    if row.equal:
        print(f"Nothing is to be done: {row.region} is equal.")
        if shown:
            print(f"{shown:,} of its entities are not linked yet: region-sync join {row.region}")
        return
    calls = "1 call" if row.calls == 1 else f"{row.calls:,} calls"
    print(f"{calls} to {row.region}, about {lasted(row.seconds * 1000)}.")
    print(f"Plan {row.hash}; carry out just this: region-sync apply --plan {row.hash}")


def tell_carried(row: PlanRow, carried: Carried, as_json: bool) -> None:
    """What came of a plan."""
    if as_json:
        print_json(carried_as_json(row, carried))
        return
    for word, steps in (("left out", carried.left_out), ("not done", carried.failed)):
        for step in steps[:SHOWN]:
            print(f"{word}: {step.kind} {step.told['path']}: {step.message}")
        if len(steps) > SHOWN:
            print(f"... and {len(steps) - SHOWN} more: --json has all of them")
    print(
        f"Plan {row.hash} in {row.region}: {carried.done:,} done, {len(carried.left_out):,} left out, "
        f"{len(carried.failed):,} not done."
    )
    if carried.waiting:
        print(
            f"{carried.waiting:,} are still on their way, and nothing moves: is the worker of {row.region} "
            "running, and the hub? What was released is carried out when they are."
        )


def carried_as_json(row: PlanRow, carried: Carried) -> dict[str, Any]:
    """What came of a plan."""
    return {
        "plan": row.hash,
        "region": row.region,
        "done": carried.done,
        "waiting": carried.waiting,
        "left_out": [_named(step) for step in carried.left_out],
        "failed": [_named(step) for step in carried.failed],
    }


def code_of(carried: Carried) -> int:
    """The exit code."""
    if carried.failed or carried.waiting:
        return FAILED
    return DIFFERENT if carried.left_out else 0


def plan_as_json(engine: Engine, row: PlanRow) -> dict[str, Any]:
    """All of a plan."""
    return {
        "region": row.region,
        "hash": row.hash,
        "equal": row.equal,
        **{drift.value: count for drift, count in row.counts.items()},
        "calls": row.calls,
        "minutes": round(row.seconds / 60, 1),
        "steps": [step.told for step in steps_of(engine, row)],
    }


@asynccontextmanager
async def _means(settings: Settings, region: Region, engine: Engine) -> AsyncIterator[Means]:
    from dataclasses import replace

    from pipeline.reconcile.planning import Means

    rules = settings.rules()
    if region.name not in rules.priority:  # it is to take part, and does not yet
        rules = replace(rules, priority=(*rules.priority, region.name))
    async with reached(settings, region) as resources:
        yield Means(resources, engine, region.name, rules, now_ms)


def steps_of(engine: Engine, row: PlanRow) -> Iterator[StepRow]:
    """All steps, in the order of their calls."""
    from pipeline.outbox.plans import PlanStore

    store, after = PlanStore(engine, row.region, now_ms), 0
    while steps := store.steps(row.id, after, PAGE):
        yield from steps
        after += len(steps)


def show_step(step: StepRow) -> None:
    """One entity: what differs, and what would be done."""
    told = step.told
    print(f"{told['drift']:<9}  {told['kind']:<7}  {told['path']}")
    for name, (here, wanted) in told["differences"].items():
        if here is not None and wanted is not None:  # what comes or goes as a whole, its calls say
            print(f"{'':<11}{name}: {here!r} -> {wanted!r}")
    for call in told["calls"]:
        print(f"{'':<11}{call}")
    if told["elsewhere"]:
        print(f"{'':<11}also goes to {', '.join(told['elsewhere'])}")
    if told["note"]:
        print(f"{'':<11}({told['note']})")


def _named(step: StepRow) -> dict[str, Any]:
    told = {name: step.told[name] for name in ("kind", "path", "uuid", "local")}
    return {**told, "message": step.message}


@contextmanager
def _count(name: str) -> Iterator[Callable[[int], None]]:
    """How many entities are read, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: reading") as status:
        yield lambda entities: status.update(f"{name}: {entities:,} entities")
