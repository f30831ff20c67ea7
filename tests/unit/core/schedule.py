"""Random schedules over the model, and the laws that must hold at their end.

In: a random source. Out: the laws broken, in words; none when all is well. Used by test_schedules.py.
"""

from __future__ import annotations

import copy
import random

from pipeline.core.entities import alike
from tests.unit.core.model import Model

STEPS = 120
ROUNDS = 60
LOG = 5_000
"""Emptying the queues takes a few rounds and a few hundred observations; a ping-pong never ends."""


def run(rng: random.Random, steps: int = STEPS) -> list[str]:
    """One schedule: a storm, then peace. What is broken at the end."""
    model = Model(rng)
    for _ in range(rng.choice((1, 1, 2))):
        model.create()
    storm(model, steps)
    if not settle(model):
        return ["the queues never run empty"]
    return broken(model) + repeated(model)


def storm(model: Model, steps: int) -> None:
    """Anything may happen, in any order."""
    rng = model.rng
    for _ in range(steps):
        model.now += rng.choice((1, 20, 300, 2_000, 9_000))
        worker = model.workers[rng.choice(tuple(model.workers))]
        dice = rng.random()
        if dice < 0.13:
            model.change()
        elif dice < 0.36:
            model.observe(worker)
        elif dice < 0.58:
            model.merge()
        elif dice < 0.74:
            model.send()
        elif dice < 0.92:
            model.apply(worker)
        elif dice < 0.94:
            worker.cut_off = not worker.cut_off
        else:
            rng.choice(
                (
                    model.publish_again,
                    model.replay,
                    model.restart_hub,
                    lambda worker=worker: model.restart(worker),
                    _seldom(model),
                )
            )()


def _seldom(model: Model):  # type: ignore[no-untyped-def]
    return model.delete if model.rng.random() < 0.15 else lambda: None


def settle(model: Model) -> bool:
    """Peace: nobody is cut off, nothing is lost, the scan hints at everything, dead rows are tried again."""
    model.calm = True
    for worker in model.workers.values():
        worker.cut_off = False
    if not drain(model):
        return False
    scan(model)
    if not drain(model):
        return False
    retry(model)
    return drain(model)


def drain(model: Model) -> bool:
    """Until nothing waits anywhere; False when that takes too long."""
    for _ in range(ROUNDS):
        busy = False
        for worker in model.workers.values():
            while worker.read_events < len(worker.region.events):
                model.observe(worker)
                busy = True
        while model.merged_to < len(model.log):
            model.merge()
            busy = True
        while model.unpublished:
            model.send()
        for worker in model.workers.values():
            while worker.read_desired < len(worker.desired):
                model.apply(worker)
                busy = True
        model.now += 1_000
        if not busy:
            return True
        if len(model.log) > LOG:
            return False
    return False


def scan(model: Model) -> None:
    for worker in model.workers.values():
        for uuid in model.kinds:
            worker.region.tell(uuid, model.now)


def retry(model: Model) -> None:
    """By hand: the dead rows that nothing newer has replaced."""
    for worker in model.workers.values():
        newest = {row.uuid: row.version for row in model.outbox if row.region == worker.region.name}
        worker.desired += [row for row in worker.dead if row.version == newest[row.uuid]]


def broken(model: Model) -> list[str]:
    """The laws."""
    found = []
    for uuid in model.kinds:
        record = model.records.get(uuid)
        wanted = record.desired() if record is not None else None
        for name, worker in model.workers.items():
            held = worker.region.read(uuid)
            if not alike(model.kinds[uuid], held, wanted):
                found.append(f"{name} holds {held}, the record says {wanted}")
            if record is not None and record.region(name).sent:
                found.append(f"{uuid} is still on its way to {name}")
        for field, text in (wanted or {}).items():
            if (uuid, field, text) in model.replaced:
                found.append(f"{field}={text} of {uuid} was seen and replaced, and came back")
        if uuid in model.deleted and wanted is not None:
            found.append(f"{uuid} was removed and is there")
    calls = sum(worker.region.calls for worker in model.workers.values())
    if calls > allowed_calls(model):
        found.append(f"{calls} calls for {model.writes} changes and {model.mishaps} mishaps")
    return found


def allowed_calls(model: Model) -> int:
    """A change costs a call in each other region; one that loses a conflict costs one where it was made. Two
    fields, or a state that takes two calls, double it."""
    return 4 * len(model.workers) * (model.writes + model.mishaps)


def repeated(model: Model) -> list[str]:
    """Everything again, from the start of every topic: not one call, and nothing changes."""
    before = copy.deepcopy([worker.region.entities for worker in model.workers.values()])
    calls = [worker.region.calls for worker in model.workers.values()]
    model.merged_to = 0
    for worker in model.workers.values():
        worker.read_desired = worker.read_events = 0
    if not drain(model):
        return ["done again, the queues never run empty"]
    after = [worker.region.entities for worker in model.workers.values()]
    again = [worker.region.calls for worker in model.workers.values()]
    found = [] if before == after else ["done again, the regions differ"]
    return found + ([] if calls == again else ["done again, there are calls"])
