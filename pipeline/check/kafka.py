"""Kafka: can it be reached, and do the topics that exist fit the settings?

In: settings. Out: findings. Topics that are missing are made at the first start; those that exist must have
equal partitions for a region's events, desired states and revocations, or one entity would be handled in two
places.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.broker import brokers
from pipeline.check.finding import CONNECT_S, Finding, Subject, blocking
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.reach import Heard, Kafka, too_short, topic_names
from pipeline.settings import Settings

SUBJECT: Final = Subject("", "kafka")
TOPICS: Final = Subject("", "topics")


async def examine(settings: Settings) -> list[Finding]:
    """The broker, then its topics."""
    try:
        where = brokers(settings)
    except TemporaryError:
        return [SUBJECT.ok("embedded: lives in `region-sync run`, which is not running now")]
    heard = Heard()
    try:
        listed = await blocking(lambda: _list(where, settings.kafka_options, heard))
    except KafkaException as error:
        words = heard.words(error)
        if settings.embedded:
            return [
                SUBJECT.warn(f"embedded: {where} does not answer: `region-sync run` ended without a word")
            ]
        return [SUBJECT.fail(f"{where}: {words}")]
    count = len(listed.brokers)
    kind = "embedded" if settings.embedded else where
    reached = SUBJECT.ok(f"{kind}: reached, {count} {'broker' if count == 1 else 'brokers'}")
    found = {name: len(topic.partitions) for name, topic in listed.topics.items() if topic.error is None}
    findings = [reached, *judge(settings, found)]
    if settings.embedded:
        return findings
    names = [name for name in topic_names(settings) if name in found]
    return [*findings, *await _judge_retention(settings, where, names)]


async def _judge_retention(settings: Settings, where: str, names: list[str]) -> list[Finding]:
    """Whether the topics that exist keep their messages for the longest outage that is promised."""
    try:
        kept = await blocking(lambda: Kafka(where, settings.kafka_options).kept(names))
    except TemporaryError as error:
        return [TOPICS.warn(f"it can't be asked how long they keep their messages: {error}")]
    days = settings.retention.outage_days
    short = ", ".join(f"{name}: {words}" for name, words in too_short(kept, days).items())
    if short:
        return [TOPICS.warn(f"they keep less than the {days} days of retention.outage_days: {short}")]
    return []


def judge(settings: Settings, found: Mapping[str, int]) -> list[Finding]:
    """What the topics that exist (name → partitions) mean for these settings."""
    findings = [
        Subject(region.name, "topics").fail(words)
        for region in settings.active
        if (words := _unequal(region.name, found)) is not None
    ]
    wanted = [topics.OBSERVATIONS, topics.DEAD_LETTERS]
    for region in settings.active:
        wanted += topics.of_region(region.name)
    others = [name for name in wanted if found.get(name, settings.partitions) != settings.partitions]
    if others and not findings:
        sizes = ", ".join(f"{name}: {found[name]}" for name in others)
        findings.append(
            TOPICS.fail(
                f"not the {settings.partitions} partitions of the settings: {sizes}; "
                "set `partitions`, or say `region-sync grow`"
            )
        )
    missing = sum(name not in found for name in wanted)
    if missing:
        findings.append(TOPICS.ok(f"{missing} of {len(wanted)} are made at the first start"))
    elif not findings:
        findings.append(TOPICS.ok(f"{len(wanted)} with {settings.partitions} partitions each"))
    return findings


def _unequal(region: str, found: Mapping[str, int]) -> str | None:
    """What is wrong with the sizes of a region's topics, as far as they exist."""
    first, *others = [name for name in topics.of_region(region) if name in found] or [""]
    for other in others:
        if found[other] != found[first]:
            sizes = f"{first} has {found[first]} partitions and {other} has {found[other]}"
            return f"{sizes}: they must be equal"
    return None


def _list(where: str, options: Mapping[str, str], heard: Heard) -> Any:
    quiet = logging.getLogger("pipeline.check.librdkafka")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    config: dict[str, Any] = {
        **options,
        "bootstrap.servers": where,
        "socket.connection.setup.timeout.ms": int(CONNECT_S * 1000),
        "error_cb": heard,
        "logger": quiet,
    }
    admin = AdminClient(config)
    try:
        return admin.list_topics(timeout=CONNECT_S)
    finally:
        admin.poll(0)
