"""A whole installation over secured services: two regions by https, and each process with its own log-ins,
which may do what docs/least-privilege.md says and no more.

In: the services, a folder. Out: running processes, and all that they write and say as texts. Called by the
tests here.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from sqlalchemy import create_engine, inspect, text

from pipeline.cloudstack.client import ClientSettings, CloudStack, Credentials
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.outbox.engine import migrate
from pipeline.reach import Kafka
from pipeline.sandbox.launch import SandboxOptions, SimulatedRegion, sandbox
from pipeline.sealing import new_pair
from tests.e2e.harness import Processes, environment, parts
from tests.e2e.test_worker_pages import free_ports
from tests.secured import canaries, documented
from tests.secured.services import Secured
from tests.services.certificates import HERE

PARTITIONS = 2
LIMIT_S = 120.0
COMMAND_LIMIT_S = 240
LOUD = {"debug": "security,broker", "log_level": "7"}
"""librdkafka's own log, as far as it concerns getting in."""
JSON = ("/regions", "/outbox", "/holds", "/conflicts", "/plans", "/dead-letters", "/search?q=acme")
PAGES = ("/", *JSON[1:], "/metrics", "/health/live", "/health/ready", "/api/openapi.yaml")


def users(regions: Sequence[str]) -> list[str]:
    """Of Kafka: one for each process, and the people."""
    return ["hub", "operator", "grow", *(f"{kind}-{one}" for kind in ("bridge", "worker") for one in regions)]


def prepare_kafka(secured: Secured, regions: Sequence[str]) -> None:
    """The users, what they may do, and then the topics, made by the hub as it does."""
    admin = AdminClient({**secured.kafka.options(), "bootstrap.servers": secured.kafka.address})
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    changes = [
        UserScramCredentialUpsertion(name, scram, canaries.KAFKA.encode(), None) for name in users(regions)
    ]
    for future in admin.alter_user_scram_credentials(changes).values():
        future.result(20)
    for future in admin.create_acls(documented.acls(regions)).values():
        future.result(20)
    names = [topics.OBSERVATIONS, topics.DEAD_LETTERS]
    names += [name for one in regions for name in topics.of_region(one)]
    limit = time.monotonic() + LIMIT_S
    while True:  # users and rules come to the broker by its own log
        try:
            return Kafka(secured.kafka.address, options(secured, "hub")).ensure_topics(names, PARTITIONS)
        except TemporaryError:
            if time.monotonic() > limit:
                raise


def prepare_database(secured: Secured) -> None:
    """The accounts, the tables, made by the hub as it does, and the grants on them."""
    engine = create_engine(secured.mariadb.address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in documented.grants("1-accounts.sql", canaries.DATABASE):
            connection.execute(text(statement))
        migrate(secured.mariadb.url("hub", canaries.DATABASE))
        for statement in documented.grants("2-tables.sql", canaries.DATABASE):
            connection.execute(text(statement))
    engine.dispose()


def options(secured: Secured, user: str) -> dict[str, str]:
    """`kafka_options` of one of our processes."""
    return secured.kafka.options(user, canaries.KAFKA)


class Installed(Processes):
    """Its processes, each with nothing but its own secrets."""

    module = "tests.secured.loud"

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        commands: Mapping[str, list[str]],
        keys: Mapping[str, str],
    ) -> None:
        """`keys`: region → its API key."""
        self._keys = keys
        super().__init__(folder, settings, commands)

    def environment(self, name: str) -> dict[str, str]:
        return {**environment(), **self.own(name)}

    def own(self, name: str, **changed: str) -> dict[str, str]:
        """What the settings' `${…}` stand for in this process."""
        kind, _, region = name.partition("-")
        everything = kind in ("operator", "keeper")
        given = {"KAFKA_USER": "operator" if everything else name, "KAFKA_PASSWORD": canaries.KAFKA}
        if kind != "bridge":
            given["DATABASE_USER"] = {"keeper": "hub"}.get(kind, kind)
            given["DATABASE_PASSWORD"] = quote(canaries.DATABASE, safe="")
            given["WEB_TOKEN"] = canaries.TOKEN
        if kind == "bridge" or everything:
            given["BUS_PASSWORD"] = quote(canaries.BUS, safe="")
        if kind == "worker" or everything:
            given |= {f"KEY_{one}": key for one, key in self._keys.items() if everything or one == region}
        return {**given, **changed}

    def run(self, name: str, *arguments: str, **changed: str) -> tuple[int, str]:
        """A command as that person: its exit code, and all that it said."""
        command = [sys.executable, "-m", "pipeline", *arguments, "-c", str(self.settings)]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**environment(), **self.own(name, **changed)},
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def arguments(self) -> str:
        """Of all processes that run."""
        return " ".join(
            Path(f"/proc/{one.pid}/cmdline").read_bytes().decode().replace("\0", " ")
            for one in self._running.values()
        )

    @property
    def names(self) -> list[str]:
        return list(self._commands)

    def written_by(self, name: str, words: str) -> bool:
        """Whether its log has these words."""
        return words in (self._folder / f"{name}.log").read_text()

    def written(self) -> dict[str, str]:
        """Log by log."""
        return {path.name: path.read_text() for path in self._folder.glob("*.log")}


def settings(secured: Secured, regions: Sequence[SimulatedRegion], folder: Path, port: int) -> dict[str, Any]:
    """`regions.yaml`, with each secret where an operator puts it: the environment, or a file."""
    ca = str(secured.authority.ca)

    def region(number: int, one: SimulatedRegion) -> dict[str, Any]:
        secret = folder / f"{one.name}.secret"
        secret.write_text(f"{one.service.secretkey}\n")
        private, public = new_pair()
        sealing = folder / f"{one.name}.sealing"
        sealing.write_text(f"{private}\n")
        bus = secured.rabbitmq.where(f"bridge-{one.name}:${{BUS_PASSWORD}}")
        return {
            "name": one.name,
            "host": one.endpoint.removesuffix("/client/api"),
            "api_key": f"${{KEY_{one.name}}}",
            "secret_key": f"file:{secret}",
            "sealing_key": public,
            "sealing_private_keys": [f"file:{sealing}"],
            "tls_ca": ca,
            "bus": {
                "source": "amqp",
                "url": bus,
                "tls_ca": ca,
                "exchange": one.exchange,
                "bridge_port": port + len(regions) + 1 + number,
            },
        }

    kafka = options(secured, "${KAFKA_USER}") | {"sasl.password": "${KAFKA_PASSWORD}"} | LOUD
    database = f"{HERE}:{secured.mariadb.ports['mysql']}/region_sync?ssl_ca={ca}"
    return {
        "kafka": secured.kafka.address,
        "kafka_options": kafka,
        "partitions": PARTITIONS,
        "database": f"mysql+pymysql://${{DATABASE_USER}}:${{DATABASE_PASSWORD}}@{database}",
        "log_level": "debug",
        "web": {"port": port, "token": "${WEB_TOKEN}"},
        "credentials": [{"domain": "/", "api_keys": True}],
        "regions": [region(number, one) for number, one in enumerate(regions)],
    }


@asynccontextmanager
async def administrator(one: SimulatedRegion, secured: Secured) -> AsyncIterator[CloudStack]:
    """A person with a root administrator's keys in that region."""
    keys = Credentials(one.admin.apikey, one.admin.secretkey)
    chosen = ClientSettings(one.endpoint, keys, tls_ca=str(secured.authority.ca))
    client = CloudStack(chosen, clock=lambda: time.time_ns() // 1_000_000)
    try:
        yield client
    finally:
        await client.aclose()


async def give_role(one: SimulatedRegion, person: CloudStack) -> None:
    """The documented role, to the account of the sync."""
    made = await person.call("createRole", {"name": "region-sync", "type": "Admin"})
    role = str(made["role"]["id"])
    for permission, rule in documented.role_rules():
        await person.call("createRolePermission", {"roleid": role, "permission": permission, "rule": rule})
    own = await person.call("getUser", {"userapikey": one.service.apikey})
    whose = {"id": own["user"]["accountid"], "domainid": own["user"]["domainid"]}
    await person.call("updateAccount", {**whose, "roleid": role})


@asynccontextmanager
async def installation(
    secured: Secured, folder: Path, names: Sequence[str]
) -> AsyncIterator[tuple[Installed, list[SimulatedRegion], int]]:
    """Everything runs; the number is the first of the ports, the hub's."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made = secured.authority.certificate()
    context.load_cert_chain(made.chain, made.key)
    plain = SandboxOptions(len(names), secured.rabbitmq.plain_address, names=tuple(names), tls=context)
    async with sandbox(plain) as regions:
        for one in regions:
            async with administrator(one, secured) as person:
                await give_role(one, person)
            one.calls.clear()
        port = free_ports(1 + 2 * len(regions))
        keys = {one.name: one.service.apikey for one in regions}
        tree = settings(secured, regions, folder, port)
        running = await asyncio.to_thread(Installed, folder, tree, parts(regions), keys)
        try:
            yield running, regions, port
        finally:
            await asyncio.to_thread(running.stop)


async def shown(port: int, regions: int, more: Sequence[str]) -> dict[str, str]:
    """All pages of all processes, their numbers and health, by address; `more`: further pages."""
    texts = {}
    api = [f"/api/v1{path}" for path in (*JSON, *more)]
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for number in range(1 + 2 * regions):
            bridge = number > regions
            for path in PAGES[-4:-1] if bridge else (*PAGES, *api, *more):
                answer = await client.get(f"http://{HERE}:{port + number}{path}")
                assert answer.status_code in (200, 503), (number, path, answer.text)
                texts[f"{number}{path}"] = f"{answer.headers}{answer.text}"
    return texts


def stored(secured: Secured) -> dict[str, str]:
    """Every table, and every topic with keys and headers, by name."""
    engine = create_engine(secured.mariadb.address)
    with engine.connect() as connection:
        names = inspect(connection).get_table_names()
        texts = {name: str(connection.execute(text(f"SELECT * FROM {name}")).all()) for name in names}
    engine.dispose()
    return texts | dict(_topics(secured))


def _topics(secured: Secured) -> Iterator[tuple[str, str]]:
    consumer = Consumer(
        {**secured.kafka.options(), "bootstrap.servers": secured.kafka.address, "group.id": "test"}
    )
    for name, topic in consumer.list_topics(timeout=20).topics.items():
        if not name.startswith(topics.PREFIX):
            continue
        places = [TopicPartition(name, number) for number in topic.partitions]
        ends = {one.partition: consumer.get_watermark_offsets(one, timeout=20) for one in places}
        consumer.assign([TopicPartition(name, number, low) for number, (low, _) in ends.items()])
        left = sum(high - low for low, high in ends.values())
        texts: list[str] = []
        while len(texts) < left:
            found = consumer.poll(20)
            assert found is not None, name
            texts.append(f"{found.key()!r} {found.value()!r} {found.headers()}")
        yield name, "\n".join(texts)
    consumer.close()
