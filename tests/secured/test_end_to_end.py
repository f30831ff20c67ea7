"""The whole pipeline over TLS, with no more rights than are documented; and no secret is seen anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.commands import ALL
from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion
from pipeline.sandbox.passwords import stored as hashed
from tests.e2e.harness import SYNC, rows, settled, until
from tests.secured import canaries
from tests.secured.conftest import REGIONS
from tests.secured.installation import Installed, administrator, installation, shown, stored
from tests.secured.services import Secured
from tests.services.certificates import HERE

pytestmark = pytest.mark.services

ABREAST = 3
"""Commands at a time."""
MADE = "-aA1"
"""How each password ends that the sync makes for a user."""


async def change(person: CloudStack, other: SimulatedRegion) -> tuple[str, tuple[str, str]]:
    """A domain, an account, a user; the account's user gets keys, the account is disabled, the user removed.
    The domain's UUID, and the keys."""
    domain = (await person.call("createDomain", {"name": "shop"}))["domain"]["id"]
    role = (await person.call("listRoles", {"name": "User"}))["role"][0]["id"]
    human = {"password": canaries.PERSON, "email": "e@example.org", "firstname": "F", "lastname": "L"}
    account = {"account": "acme", "domainid": domain, "roleid": role, "username": "acme"}
    made = await person.call("createAccount", {**human, **account})
    user = {"account": "acme", "domainid": domain, "username": "jo"}
    jo = (await person.call("createUser", {**human, **user}))["user"]["id"]
    holder = made["account"]["user"][0]["id"]
    keys = (await person.call("registerUserKeys", {"id": holder}))["userkeys"]
    await until(lambda: keys["apikey"] in dict(other.region.world.users_by_apikey), "the keys' arrival")
    await person.call("disableAccount", {"id": made["account"]["id"], "lock": "false"})
    await person.call("deleteUser", {"id": jo})
    return str(domain), (keys["apikey"], keys["secretkey"])


def arrived(region: SimulatedRegion) -> bool:
    accounts = list(region.region.world.live_accounts.values())  # looked at from another thread
    return any((one.name, one.state) == ("acme", "disabled") for one in accounts)


def commands(running: Installed, domain: str, row: str) -> dict[str, str]:
    """What people see, who do right and who do wrong. The operator may only read."""
    reads = (
        "status",
        f"history {domain}",
        "conflicts",
        "outbox list",
        f"outbox show {row}",
        "holds",
        "check",
    )
    works = ("plan --region r2", "verify", f"sync {domain}", "join r2")
    wrong = {
        "KAFKA_PASSWORD": canaries.WRONG,
        "DATABASE_PASSWORD": canaries.WRONG.replace("/", "%2F"),
        "BUS_PASSWORD": canaries.WRONG.replace("/", "%2F"),
        **{f"KEY_{name}": canaries.WRONG for name in REGIONS},
    }
    calls: list[tuple[str, str, dict[str, str], tuple[int, ...]]] = [
        *(("operator", command, {}, (0,)) for command in reads),
        *(("keeper", command, {}, (0, 2)) for command in works),
        ("operator", "check --json", wrong, (1,)),
        *(
            ("hub", "worker hub --log-level debug", {one: wrong[one]}, (1,))
            for one in ("KAFKA_PASSWORD", "DATABASE_PASSWORD")
        ),
    ]

    def run(call: tuple[str, str, dict[str, str], tuple[int, ...]]) -> tuple[str, str]:
        who, command, changed, right = call
        code, said = running.run(who, *command.split(), **changed)
        assert code in right, (call, said, running.logs())
        return f"{command} {sorted(changed)}", said

    with ThreadPoolExecutor(ABREAST) as pool:
        return dict(pool.map(run, calls))


async def act(port: int) -> str:
    """What the hub answers to an action with the token, and with a wrong one."""
    texts = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for token in (canaries.TOKEN, canaries.WRONG):
            answer = await client.post(
                f"http://{HERE}:{port}/api/v1/outbox/1/retry",
                headers={"Authorization": f"Bearer {token}"},
                json={"who": "jo", "reason": "to see"},
            )
            texts.append(f"{answer.status_code}{answer.headers}{answer.text}")
    assert texts[1].startswith("401")
    return "".join(texts)


async def test_all_of_it(granted: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords: list[str] = []

    def kept(password: str) -> str:
        passwords.append(password)
        return hashed(password)

    monkeypatch.setattr("pipeline.sandbox.world.stored", kept)
    engine = open_database(granted.mariadb.address)
    async with installation(granted, tmp_path, REGIONS) as (running, regions, port):
        await until(lambda: all(one.region.calls.reads(SYNC) for one in regions), "the workers' start")
        await until(lambda: running.written_by("bridge-r1", "consuming region-sync.r1"), "the bridge's start")
        async with administrator(regions[0], granted) as person:
            domain, given = await change(person, regions[1])
        await until(lambda: arrived(regions[1]), "the other region's changes")
        states = await settled(regions, engine)
        assert not states["dead"] and not states["held"], (rows(engine, "dead"), running.logs())

        row = str(rows(engine, "delivered")[0].id)
        texts = await shown(port, len(regions), (f"/entity/{domain}", f"/outbox/{row}"))
        texts |= {"actions": await act(port), "arguments": running.arguments()}
        texts |= await asyncio.to_thread(commands, running, domain, row)
        asked = {name for one in regions for name in one.calls.by_command(SYNC)}
        assert asked <= set(ALL), "the role allows none but these"
        assert {"createDomain", "createAccount", "disableAccount", "listApis", "getUserKeys"} <= asked
        assert await asyncio.to_thread(running.stop) == dict.fromkeys(running.names, 0)
        texts |= running.written() | await asyncio.to_thread(stored, granted)
    engine.dispose()

    made = [one for one in passwords if one.endswith(MADE)]
    assert made, "the sync made no user"
    keys = [key for one in regions for key in (one.service.apikey, one.service.secretkey)]
    private = [file.read_text().strip() for file in tmp_path.glob("*.sealing")]
    assert len(private) == len(REGIONS)
    assert canaries.found([*canaries.ALL, *keys, *made, *given, *private], texts) == []
    assert_heard(running)


def assert_heard(running: Installed) -> None:
    """The libraries did talk: their silence would prove nothing."""
    logs = running.written()
    lines = [line for log in logs.values() for line in log.splitlines() if line.startswith("{")]
    loggers = {json.loads(line)["logger"] for line in lines}
    for library in ("faust", "aiokafka", "mode", "sqlalchemy", "pika", "pipeline", "bridges"):
        assert any(name.split(".")[0] == library for name in loggers), (library, loggers)
    assert "SASL" in logs["hub.log"], "librdkafka says how it gets in"


def test_the_search_finds_every_form() -> None:
    secret = canaries.KAFKA
    encoded = [base64.b64encode(b"x" * n + secret.encode() + b"tail").decode() for n in range(4)]
    for text in (f"a{secret}b", quote(secret, safe=""), json.dumps({"a": secret}), *encoded):
        assert canaries.found([secret], {"text": text}) == [(secret, "text")], text
    assert canaries.found([secret], {"text": "Canary"}) == []
