"""How to reach what the settings name: a region's API, and Kafka's topics.

In: settings. Out: the client's settings of a region; topics that exist, with the partitions they should have.
Called wherever a process starts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewPartitions, NewTopic
from pydantic import SecretStr

from pipeline.cloudstack.client import ClientSettings
from pipeline.cloudstack.session import Credentials
from pipeline.config.region import DAY_MS
from pipeline.core import topics
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.settings import Region, Settings

TIMEOUT_S: Final = 20.0
TRY_S: Final = 2.0
"""So long for one try to connect: a refusal is heard of after it."""
KEPT: Final = "retention.ms"
KEPT_BYTES: Final = "retention.bytes"
INSYNC: Final = "min.insync.replicas"
UNTOLD: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})
REPLICAS: Final = 3
"""Copies of each partition where the settings don't say: so many, as far as there are brokers."""


_REFUSALS: Final = {
    "certificate verify failed": "the broker's certificate is not trusted: another authority than "
    "ssl.ca.location says, another host name than we call it by, or it has expired",
    "Authentication failed": "the broker refuses sasl.username or sasl.password",
}
"""Words of librdkafka's, and ours for them."""


def client_settings(region: Region) -> ClientSettings:
    """What the API's client must know of a region."""
    return ClientSettings(
        endpoint=region.endpoint,
        credentials=Credentials(
            apikey=_secret(region.api_key),
            secret=_secret(region.secret_key),
            username=region.user_name or "",
            password=_secret(region.password),
            domain=region.domain,
        ),
        timeout_s=region.timeout_s,
        job_timeout_s=region.job_timeout_s,
        rate_per_s=region.rate_per_s,
        max_connections=region.lanes,
        tls_ca=str(region.tls_ca) if region.tls_ca else "",
        post=region.post,
    )


def _secret(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def topic_names(settings: Settings) -> list[str]:
    """Every topic of the pipeline."""
    names = [topics.OBSERVATIONS, topics.DEAD_LETTERS]
    for region in settings.active:
        names += topics.of_region(region.name)
    return names


class Heard:
    """What librdkafka tells of its troubles while it connects, as its `error_cb`: why a broker could not be
    reached is said there, and never by what the call raises."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last = error.str()

    @property
    def refused(self) -> str:
        """Why trying again is no use, as far as it was said; else empty."""
        return next((words for sign, words in _REFUSALS.items() if sign in self._last), "")

    def words(self, error: KafkaException) -> str:
        """One sentence for a call that failed."""
        return self.refused or self._last or str(error.args[0].str())


@dataclass(frozen=True, slots=True)
class Kept:
    """What a topic keeps: for so many milliseconds, so many bytes a partition; negative: without end."""

    ms: int
    bytes: int


class Kafka:
    """The administrator's side of Kafka. Raises `TemporaryError` while it can't be reached."""

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        self._heard = Heard()
        quiet = {"log_level": "2", "error_cb": self._heard}  # its log tells each failed connect at once
        config: dict[str, Any] = {**options, **quiet, "bootstrap.servers": brokers}
        self._admin = AdminClient(config)

    def ensure_topics(
        self,
        names: Sequence[str],
        partitions: int,
        replicas: int | None = None,
        kept_ms: int | None = None,
    ) -> None:
        """Makes the topics that are missing and waits until every partition has a leader. `kept_ms`: for how
        long a new one keeps its messages; None: as Kafka's own settings say. One that exists stays as it is.

        Raises `PermanentError` where one has another number of partitions: the same key of a region's events
        and desired states must meet in one place.
        """
        known = self._list()
        copies = replicas or min(REPLICAS, len(known.brokers))
        missing = [_topic(name, partitions, copies, kept_ms) for name in names if name not in known.topics]
        if missing and copies > len(known.brokers):
            raise TemporaryError(
                f"Kafka has {len(known.brokers)} of the {copies} brokers that `replicas` wants"
            )
        if missing:
            for future in self._admin.create_topics(missing).values():
                _made(future)
        self._wait_until_ready(names, partitions)

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Topic → its partitions, of those that exist."""
        known = self._list().topics
        return {name: len(known[name].partitions) for name in names if name in known}

    def grow(self, names: Sequence[str], partitions: int) -> None:
        """So many for each of these, all of them with a leader at the end. Messages stay where they are."""
        wanted = [NewPartitions(name, partitions) for name in names]
        for future in self._admin.create_partitions(wanted).values():
            _result(future)
        self._wait_until_ready(names, partitions)

    def members(self, groups: Sequence[str]) -> dict[str, int]:
        """Group → how many consume in it, of those in which anybody does."""
        asked = self._admin.describe_consumer_groups(list(groups), request_timeout=TIMEOUT_S)
        found = {name: len(_result(future).members) for name, future in asked.items()}
        return {name: count for name, count in found.items() if count}

    def kept(self, names: Sequence[str]) -> dict[str, Kept]:
        """For how long these topics keep their messages, of those that Kafka tells it."""
        return kept(self._admin, names)

    def identity(self, topic: str) -> str:
        """The topic's own identity: another one after it was made anew and counts from 0 again."""
        described = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
        return str(_result(described[topic]).topic_id)

    def _wait_until_ready(self, names: Sequence[str], partitions: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not all(self._is_ready(name, partitions) for name in names):
            if time.monotonic() > deadline:
                raise TemporaryError("Kafka's new topics have no leaders yet")
            time.sleep(0.1)

    def _is_ready(self, name: str, partitions: int) -> bool:
        topic = self._list().topics.get(name)
        if topic is None or topic.error is not None:
            return False
        if len(topic.partitions) != partitions:
            raise PermanentError(
                f"topic {name} has {len(topic.partitions)} partitions, the settings say {partitions}: "
                "set `partitions` to what the topics have, or have them grow by `region-sync grow`"
            )
        return all(partition.leader >= 0 for partition in topic.partitions.values())

    def _list(self) -> Any:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return self._admin.list_topics(timeout=TRY_S)
            except KafkaException as error:
                self._admin.poll(0)  # what was heard comes from in here
                if self._heard.refused or time.monotonic() > deadline:
                    raise TemporaryError(f"Kafka can't be reached: {self._heard.words(error)}") from error


def kept(admin: AdminClient, names: Sequence[str]) -> dict[str, Kept]:
    """For how long topics keep their messages, of those that exist and that Kafka tells it of: it may be
    forbidden to us. Raises `TemporaryError`."""
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=TIMEOUT_S
    )
    found: dict[str, Kept] = {}
    for resource, future in asked.items():
        try:
            entries = future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() in UNTOLD:
                continue
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
        found[resource.name] = Kept(int(entries[KEPT].value), int(entries[KEPT_BYTES].value))
    return found


def too_short(found: Mapping[str, Kept], days: int) -> dict[str, str]:
    """Topic → for how long it keeps its messages, in words; only those that keep them for less than so many
    days, or drop them by size."""
    short: dict[str, str] = {}
    for name, one in sorted(found.items()):
        if 0 <= one.ms < days * DAY_MS:
            short[name] = f"{one.ms / DAY_MS:.3g} days"
        elif one.bytes >= 0:
            short[name] = f"{one.bytes:,} bytes a partition"
    return short


def _topic(name: str, partitions: int, copies: int, kept_ms: int | None) -> NewTopic:
    """All but one of the copies must have a message before it counts as sent: otherwise one broker's end
    could take along what only it had, though it was acknowledged."""
    kept = {} if kept_ms is None else {KEPT: str(kept_ms)}
    return NewTopic(name, partitions, copies, config={INSYNC: str(max(1, copies - 1)), **kept})


def _result(future: Future[Any]) -> Any:
    try:
        return future.result(TIMEOUT_S)
    except KafkaException as error:
        raise TemporaryError(f"Kafka: {error.args[0].str()}") from error


def _made(future: Future[Any]) -> None:
    try:
        future.result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
