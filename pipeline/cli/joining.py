"""The command `join`: whether a region may join, what that would take, and, by `--apply`, just that.

In: the settings' file, a region's name. Out: findings, what stands in the way, a plan; exit code 0 nothing is
to be done or all of it was, 2 something is, 1 it may not join or something was not done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.checking import passed, tell
from pipeline.cli.database import opened
from pipeline.cli.options import DEFAULT_CONFIG, DIFFERENT, FAILED, AsJson, Config
from pipeline.cli.output import print_json
from pipeline.cli.planning import (
    SHOWN,
    carried_as_json,
    carried_out,
    check_ready,
    code_of,
    made,
    plan_as_json,
    show,
    show_step,
    steps_of,
    tell_carried,
)

if TYPE_CHECKING:
    from pipeline.check.finding import Finding
    from pipeline.outbox.engine import Engine
    from pipeline.outbox.plans import PlanRow
    from pipeline.reconcile.carrying import Carried
    from pipeline.settings import Region, Settings


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync join tokyo -c regions.yaml")(join)


def join(
    name: Annotated[str, typer.Argument(metavar="REGION", help="The region, by its name; active or not.")],
    config: Config = DEFAULT_CONFIG,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test/--no-self-test",
            help="Make a domain there to see whether its event comes, and remove it again.",
        ),
    ] = True,
    carry_out: Annotated[
        bool, typer.Option("--apply", help="Carry out the plan that is shown. The region must be active.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether a region may join the others, find what it has in common with them, show what is to be
    done.

    Writes nothing before --apply, but for the self-test: a domain region-sync-probe-… under ROOT, which no
    region takes over and which is removed again, by the next run if this one is killed. Exit code 0: nothing
    is to be done, or all was; 2: something is; 1: it may not join, or something was not done.
    """
    from pipeline.settings import Role, load

    settings = load(config, Role("join", name))
    region = settings.region(name)
    if carry_out:
        check_ready(region)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries would log is in the findings
    with opened(settings) as engine:
        from pipeline.check.joining import examine_joining

        findings = asyncio.run(examine_joining(settings, region, engine, self_test))
        if not passed(findings):
            tell(findings, as_json)
            raise typer.Exit(FAILED)
        raise typer.Exit(_go_on(settings, region, engine, _Asked(findings, carry_out, as_json)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was found so far, and how to go on."""

    findings: list[Finding]
    carry_out: bool
    as_json: bool


def _go_on(settings: Settings, region: Region, engine: Engine, asked: _Asked) -> int:
    """The plan, and what comes of it; returns the exit code."""
    row = asyncio.run(made(settings, region, engine))
    if not asked.as_json:
        tell(asked.findings, as_json=False)
        _tell_plan(engine, row)
        if not asked.carry_out:
            before = "" if region.active else "set active: true, start its worker, and say "
            print(f"To take it in: {before}region-sync join {region.name} --apply")
    carried = asyncio.run(carried_out(settings, region, engine, row)) if asked.carry_out else None
    if asked.as_json:
        print_json(_as_json(asked.findings, engine, row, carried))
    elif carried is not None:
        tell_carried(row, carried, as_json=False)
    return _code(engine, row) if carried is None else code_of(carried)


def _tell_plan(engine: Engine, row: PlanRow) -> None:
    """What a person has to look at comes first."""
    collisions = linked = 0
    for step in steps_of(engine, row):
        linked += step.told["linked"]
        if step.told["drift"] == "conflict":
            if not collisions:
                print("\nCollisions:")
            collisions += 1
            if collisions <= SHOWN:
                show_step(step)
    if collisions > SHOWN:
        print(f"... and {collisions - SHOWN} more: --json has all of them")
    print("\nPlan:")
    show(engine, row, as_json=False)
    if linked:
        print(f"{linked:,} of its entities are the same as known ones, and would be linked to them.")


def _as_json(
    findings: list[Finding], engine: Engine, row: PlanRow, carried: Carried | None
) -> dict[str, Any]:
    planned = plan_as_json(engine, row)
    return {
        "ok": True,
        "findings": [asdict(one) for one in findings],
        "linked": sum(step["linked"] for step in planned["steps"]),
        "plan": planned,
        "carried_out": None if carried is None else carried_as_json(row, carried),
    }


def _code(engine: Engine, row: PlanRow) -> int:
    """What is equal and not linked yet is to be done too."""
    return DIFFERENT if any(True for _ in steps_of(engine, row)) else 0
