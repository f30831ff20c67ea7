"""Three brokers: the pipeline's topics are on all of them, and one that dies takes nothing along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from pipeline.core.errors import TemporaryError
from pipeline.reach import Kafka
from tests.services.cluster import KafkaCluster
from tests.services.process import wait_until

pytestmark = pytest.mark.services
LIMIT_S = 60.0
TOPIC = "kept"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, services_cache: Path) -> Iterator[KafkaCluster]:
    with KafkaCluster(tmp_path_factory.mktemp("cluster"), services_cache) as cluster:
        Kafka(cluster.address, {}).ensure_topics([TOPIC], 1)
        yield cluster


def test_each_partition_has_three_copies_of_which_two_must_have_a_message(cluster: KafkaCluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.address})
    partitions = admin.list_topics(timeout=LIMIT_S).topics[TOPIC].partitions.values()
    assert [len(partition.replicas) for partition in partitions] == [3]
    asked = ConfigResource(ConfigResource.Type.TOPIC, TOPIC)
    config = admin.describe_configs([asked])[asked].result(LIMIT_S)
    assert config["min.insync.replicas"].value == "2"


def test_more_copies_than_brokers_wait_for_the_missing_broker(cluster: KafkaCluster) -> None:
    with pytest.raises(TemporaryError, match="3 of the 4 brokers"):
        Kafka(cluster.address, {}).ensure_topics(["never"], 2, replicas=4)


def test_what_was_acknowledged_is_there_when_the_broker_that_took_it_has_died(cluster: KafkaCluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.address})
    said(cluster, b"before")
    leader = cluster.brokers[admin.list_topics(timeout=LIMIT_S).topics[TOPIC].partitions[0].leader - 1]
    leader.kill()
    said(cluster, b"while it was away")
    assert heard(cluster) == [b"before", b"while it was away"]
    leader.start()
    wait_until(lambda: in_sync(admin) == [3], LIMIT_S, "all copies to be whole again")


def in_sync(admin: AdminClient) -> list[int]:
    partitions = admin.list_topics(timeout=LIMIT_S).topics[TOPIC].partitions.values()
    return [len(partition.isrs) for partition in partitions]


def said(cluster: KafkaCluster, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": cluster.address, "acks": "all", "enable.idempotence": True})
    errors: list[object] = []
    producer.produce(TOPIC, value, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(LIMIT_S) == 0
    assert errors == [None]


def heard(cluster: KafkaCluster) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": cluster.address, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([TOPIC])
    values: list[bytes] = []
    try:

        def all_heard() -> bool:
            values.extend(one.value() or b"" for one in consumer.consume(10, 0.5) if not one.error())
            return len(values) >= 2

        wait_until(all_heard, LIMIT_S, "both messages")
    finally:
        consumer.close()
    return values
