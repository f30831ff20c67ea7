"""`run` at debug level, with secrets that are right and secrets that are wrong: none is in a log.

Each process of its own, over TLS, with tables, topics, pages and commands: tests/secured.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.component.metrics.asking import Asking, free_port
from tests.e2e.cli.running import Desk, administrator, until
from tests.secured.canaries import found

BUS = "Canary-bus-5e1f"
LOGIN = "Canary-login-77b0"
DATABASE = "Canary-database-2c9d"
KAFKA = "Canary-kafka-91aa"
MADE = "-aA1"
"""How each password ends that the sync makes for a user."""


def settings(regions: tuple[SimulatedRegion, ...], amqp_url: str, port: int) -> str:
    """One region in order, one whose bus refuses us, one that refuses our log-in."""
    good, deaf, shut = regions
    where = amqp_url.rpartition("@")[2]

    def place(region: SimulatedRegion) -> dict[str, object]:
        return {"name": region.name, "host": region.endpoint.removesuffix("/client/api")}

    def keys(region: SimulatedRegion) -> dict[str, object]:
        return {"api_key": region.service.apikey, "secret_key": region.service.secretkey}

    bus = {"source": "amqp", "url": f"amqp://nobody:{BUS}@{where}", "exchange": "none"}
    tree = {
        "database": "sqlite:///audit.db",
        "log_level": "debug",
        "web": {"port": port},
        "regions": [
            {**place(good), **keys(good), "bus": {"poll_interval_s": 0.2}},
            {**place(deaf), **keys(deaf), "bus": bus},
            {**place(shut), "user_name": "nobody", "password": LOGIN},
        ],
    }
    return yaml.safe_dump(tree)


@pytest.mark.services
async def test_no_secret_is_in_any_log_or_number(tmp_path: Path, amqp_url: str) -> None:
    desk, port = Desk(tmp_path), free_port()
    async with simulated_regions(3, names=("good", "deaf", "shut")) as regions:
        (tmp_path / "regions.yaml").write_text(settings(tuple(regions), amqp_url, port))
        async with desk.running() as process, administrator(regions[0]) as person:
            made = await person.call("createDomain", {"name": "dom"})
            role = await person.call("listRoles", {"name": "User"})
            human = {"username": "u", "password": "Pw-u-1", "email": "e", "firstname": "f", "lastname": "l"}
            place = {"domainid": made["domain"]["id"], "roleid": role["role"][0]["id"], "account": "acc"}
            await person.call("createAccount", {**human, **place})

            def all_heard() -> bool:
                said = desk.log.read_text()
                return all(
                    words in said
                    for words in ("delivered: createAccount", "the broker refuses", "region shut: ")
                )

            await until(all_heard, "not all was logged", process)
            numbers = (await Asking(port).get("/metrics")).text + (
                await Asking(port).get("/health/ready")
            ).text
    said = desk.log.read_text()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {"entity", "region", "outbox"} <= {key for line in lines for key in line}
    assert any(line["level"] == "debug" for line in lines)
    secrets = [BUS, LOGIN, MADE, "Pw-u-1", "signature=", "apiKey="]
    secrets += [key for one in regions for key in (one.service.apikey, one.service.secretkey)]
    assert found(secrets, {"log": said, "numbers": numbers}) == []


async def test_nor_when_nothing_can_be_reached(tmp_path: Path) -> None:
    tree = {
        "kafka": "127.0.0.1:1",
        "kafka_options": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "u",
            "sasl.password": KAFKA,
        },
        "database": f"mysql+pymysql://u:{DATABASE}@127.0.0.1:1/n",
        "regions": [
            {"name": "r1", "host": "http://127.0.0.1:1", "api_key": "Canary-a", "secret_key": "Canary-s"}
        ],
    }
    (tmp_path / "regions.yaml").write_text(yaml.safe_dump(tree))
    ended = await Desk(tmp_path).region_sync("worker", "hub", "--log-level", "debug")
    assert ended.code == 1
    assert "database" in ended.err
    assert "anary" not in ended.out + ended.err
