"""A minimal caller for tests: signs, calls one simulated region, waits for jobs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from pipeline.sandbox.auth import signature
from pipeline.sandbox.launch import SimulatedRegion

PERSON = {"password": "Passw0rd!x", "email": "a@b.c", "firstname": "F", "lastname": "L"}


@dataclass
class Answer:
    """Status, outer name and inner object of an answer."""

    status: int
    key: str
    body: dict[str, Any]

    @property
    def error(self) -> tuple[int, str]:
        """Error code and text; fails for an answer without them."""
        return int(self.body["errorcode"]), str(self.body["errortext"])


class Api:
    """Calls with one user's keys; `events` is what the region has put on its bus since the start."""

    def __init__(self, region: SimulatedRegion, keys: tuple[str, str] | None = None) -> None:
        self.region = region
        self.keys = keys or (region.admin.apikey, region.admin.secretkey)
        self.events: list[tuple[str, dict[str, str]]] = []
        region.region.publish_to(self._heard)

    def _heard(self, key: str, text: str) -> None:
        if ".ActionEvent." in key:
            self.events.append((key, json.loads(text)))

    def heard(self) -> list[str]:
        """Types and states of the events so far, then forgets them."""
        out = [f"{body['event']} {body['status']}" for _, body in self.events]
        self.events.clear()
        return out

    async def __call__(self, command: str, method: str = "GET", **params: Any) -> Answer:
        pairs = [("command", command), ("apiKey", self.keys[0]), ("response", "json")]
        pairs += [(key, str(value)) for key, value in params.items()]
        pairs.append(("signature", signature(pairs, self.keys[1])))
        return await self.send(pairs, method)

    async def send(self, pairs: list[tuple[str, str]], method: str = "GET") -> Answer:
        """As it is, unsigned."""
        async with aiohttp.ClientSession() as http:
            where = {"data": pairs} if method == "POST" else {"params": pairs}
            async with http.request(method, self.region.endpoint, **where) as answer:  # type: ignore[arg-type]
                outer = json.loads(await answer.text())
        key, body = next(iter(outer.items()))
        return Answer(answer.status, key, body)

    async def job(self, command: str, **params: Any) -> dict[str, Any]:
        """An asynchronous command's finished job."""
        started = await self(command, **params)
        assert started.status == 200, started
        for _ in range(1000):
            polled = await self("queryAsyncJobResult", jobid=started.body["jobid"])
            if polled.body["jobstatus"] != 0:
                return polled.body
            await asyncio.sleep(0.002)
        raise AssertionError("the job did not end")

    async def domain(self, name: str, **params: Any) -> str:
        """A new domain's UUID."""
        made = await self("createDomain", name=name, **params)
        assert made.status == 200, made
        return str(made.body["domain"]["id"])

    async def account(self, name: str, domain: str, **params: Any) -> tuple[str, str]:
        """A new account's UUID and its first user's."""
        chosen = {"accounttype": 0, **params}
        made = await self("createAccount", username=name, account=name, domainid=domain, **PERSON, **chosen)
        assert made.status == 200, made
        account = made.body["account"]
        return str(account["id"]), str(account["user"][0]["id"])

    async def as_user(self, user: str) -> Api:
        """The same region, called by another user with fresh keys."""
        keys = (await self("registerUserKeys", id=user)).body["userkeys"]
        return Api(self.region, (keys["apikey"], keys["secretkey"]))
