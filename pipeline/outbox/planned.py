"""Plans as the pages show them: the newest ones of all regions, and the steps of one, a piece at a time.

In: a region, a plan's id, where a piece begins. Out: the values that `plans` keeps. Called by the views.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, select

from pipeline.outbox.engine import reading
from pipeline.outbox.plans import PlanRow, StepRow, plan_row, step_row
from pipeline.outbox.schema import plan, plan_step

SHOWN: Final = 100
STEPS: Final = 500
"""Steps of one piece."""


def newest_plans(engine: Engine, region: str | None = None) -> list[PlanRow]:
    """Those that are whole, the newest first. Raises `TemporaryError`."""
    query = select(plan).where(plan.c.hash.is_not(None)).order_by(plan.c.id.desc()).limit(SHOWN)
    if region is not None:
        query = query.where(plan.c.region == region)
    with reading(engine) as connection:
        return [plan_row(row) for row in connection.execute(query).mappings()]


def one_plan(engine: Engine, number: int) -> PlanRow | None:
    """None where there is none that is whole. Raises `TemporaryError`."""
    query = select(plan).where(plan.c.id == number, plan.c.hash.is_not(None))
    with reading(engine) as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else plan_row(row)


def steps_after(engine: Engine, number: int, after: int) -> tuple[list[StepRow], int | None]:
    """At most `STEPS` of the plan's steps whose id is greater than `after`; where the next piece begins, None
    for nowhere. Raises `TemporaryError`."""
    query = (
        select(plan_step)
        .where(plan_step.c.plan == number, plan_step.c.id > after)
        .order_by(plan_step.c.id)
        .limit(STEPS + 1)
    )
    with reading(engine) as connection:
        found = [step_row(row) for row in connection.execute(query).mappings()]
    return found[:STEPS], found[STEPS - 1].id if len(found) > STEPS else None
