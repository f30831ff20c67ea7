"""What is there when all is over: whether everything is at rest and equal, and what the books say.

In: a stage. Out: what is still amiss, in words; the books' figures. Called by the run after the last fault.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import func, select

from pipeline import wire
from pipeline.core import topics
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import conflict, dead_letter, outbox
from pipeline.progress import Progress
from pipeline.verdict import differences
from tests.faults.laws import Loser
from tests.faults.stage import PARTITIONS, Stage

READ_LIMIT_S: Final = 60.0
OPEN: Final = ("pending", "published", "held")


@dataclass
class Books:
    """Outbox rows by state; `twice`: delivered more than once; `unexplained`: dead rows that nothing newer
    has replaced; `resent`: desired states that went out more than once; `losers`: of conflicts."""

    states: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    unexplained: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    letters: int = 0
    sent: int = 0
    resent: int = 0
    losers: set[Loser] = field(default_factory=set)


def unrest(stage: Stage, progress: Progress) -> str:
    """What is still under way or differs; empty when all is at rest and equal."""
    differing = differences([region.dump() for region in stage.regions])
    if differing:
        return f"{len(differing)} entities differ: {differing[:10]}"
    with reading(stage.engine) as connection:
        waiting = connection.execute(
            select(outbox.c.region, outbox.c.kind, outbox.c.entity, outbox.c.state, outbox.c.message)
            .where(outbox.c.state.in_(OPEN))
            .limit(10)
        ).all()
    if waiting:
        return f"open rows: {[tuple(row) for row in waiting]}"
    left = {name: count for name, count in lags(stage, progress).items() if count}
    return f"unread messages: {left}" if left else ""


def lags(stage: Stage, progress: Progress) -> dict[str, int]:
    """Topic → messages that its consumers have not acknowledged."""
    groups = {topics.OBSERVATIONS: topics.HUB_GROUP, topics.DEAD_LETTERS: topics.HUB_GROUP}
    for region in stage.regions:
        for name in topics.of_region(region.name):
            groups[name] = topics.region_group(region.name)
    return {name: progress.lag(group, name) for name, group in groups.items()}


def books(stage: Stage) -> Books:
    """As the database and Kafka have them."""
    found = Books()
    per_state = select(outbox.c.state, func.count()).group_by(outbox.c.state)
    key = (outbox.c.entity, outbox.c.region, outbox.c.version)
    twice = select(func.count()).where(outbox.c.state == "delivered").group_by(*key).having(func.count() > 1)
    newer = outbox.alias()
    replaced = (
        select(newer.c.id)
        .where(newer.c.entity == outbox.c.entity, newer.c.region == outbox.c.region)
        .where(newer.c.version > outbox.c.version)
        .exists()
    )
    dead = select(*key, outbox.c.kind, outbox.c.message, replaced.label("replaced")).where(
        outbox.c.state == "dead"
    )
    with reading(stage.engine) as connection:
        found.states.update(dict(connection.execute(per_state).all()))
        found.twice = len(connection.execute(twice).all())
        for row in connection.execute(dead):
            found.reasons[row.message[:60]] += 1
            if not row.replaced:
                found.unexplained.append(
                    f"{row.region}: {row.kind} {row.entity} v{row.version}: {row.message}"
                )
        losers = select(conflict.c.entity, conflict.c.field, conflict.c.lost)
        found.losers = {(one[0], one[1], one[2]) for one in connection.execute(losers)}
        found.letters = connection.execute(select(func.count()).select_from(dead_letter)).scalar_one()
    _count_sent(stage, found)
    return found


def _count_sent(stage: Stage, found: Books) -> None:
    """Of all desired states that Kafka holds."""
    seen: Counter[tuple[str, str, int]] = Counter()
    for region in stage.regions:
        for topic in (topics.desired(region.name), topics.revoke(region.name)):
            for desired in map(wire.desired, _read(stage.kafka.address, topic)):
                seen[region.name, desired.uuid, desired.version] += 1
    found.sent = len(seen)
    found.resent = sum(seen.values()) - len(seen)


def _read(brokers: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "faults", "enable.auto.commit": False})
    values: list[bytes] = []
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        left = 0
        for part in parts:
            low, high = consumer.get_watermark_offsets(part, timeout=READ_LIMIT_S)
            part.offset, left = low, left + high - low
        consumer.assign(parts)
        deadline = time.monotonic() + READ_LIMIT_S
        while left > 0 and time.monotonic() < deadline:
            for message in consumer.consume(min(left, 5_000), 0.5):
                if message.error() is None:
                    left -= 1
                    values.append(message.value() or b"")
    finally:
        consumer.close()
    assert left == 0, f"{left} messages of {topic} can't be read"
    return values
