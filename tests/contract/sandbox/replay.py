"""Plays the recorded scenarios against one simulated region over HTTP and notes every difference.

The region's clock is set to the recorded time of each scenario, so that dates in parameters mean what
they meant.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from pipeline.sandbox.auth import signature
from pipeline.sandbox.region import Region
from pipeline.sandbox.seeding import SERVICE
from pipeline.sandbox.server import RegionServer
from tests.contract.sandbox.comparing import Comparison, Names, plain
from tests.contract.sandbox.recordings import RecordedCall, RecordedEvent, Scenario

START_MS = 1_795_421_640_000  # 2026-11-23 08:14:00 UTC, just before the recordings
JOB_DELAY_MS = 15.0
# Scenarios during which the recorded broker was away.
BROKER_AWAY = ("broker.down0", "broker.down1", "broker.down2", "broker.appstop")


@dataclass
class SentEvent:
    """One message that the simulated region put on its bus."""

    scenario: str
    key: str
    body: dict[str, str]


@dataclass
class Clock:
    """The region's time, in ms."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Replay:
    """What happened: differences by scenario, in order of playing."""

    differences: dict[str, list[str]] = field(default_factory=dict)

    def note(self, scenario: str, texts: Iterable[str]) -> None:
        self.differences.setdefault(scenario, []).extend(texts)


class Player:
    """Plays scenarios in order. `keys` are the API keys that each actor got on the way."""

    def __init__(self, region: Region, server: RegionServer, clock: Clock) -> None:
        self.region, self.server, self.clock = region, server, clock
        self.names = Names()
        self.result = Replay()
        self.keys = {"admin": (region.admin.apikey, region.admin.secretkey)}
        self.usernames: dict[str, str] = {}
        self.pending: list[SentEvent] = []
        self.scenario = ""
        self.jobs_done: set[str] = set()
        region.publish_to(self._sent)

    def _sent(self, key: str, text: str) -> None:
        if ".ActionEvent." in key:
            self.pending.append(SentEvent(self.scenario, key, json.loads(text)))

    async def play(self, story: list[Scenario]) -> Replay:
        """All scenarios; then what was sent and never recorded."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            for scenario in story:
                await self._play_one(http, scenario)
        for event in self.pending:
            self.result.note(event.scenario, [f"event too many: {event.key} {event.body['description']}"])
        return self.result

    async def _play_one(self, http: aiohttp.ClientSession, scenario: Scenario) -> None:
        self.scenario = scenario.name
        self.result.note(scenario.name, [])
        self.clock.now_ms = max(scenario.began_ms() or 0, self.clock.now_ms + 1000)
        self.region.faults.lost_ratio = 1.0 if scenario.name in BROKER_AWAY else 0.0
        for call in scenario.calls:
            comparison = Comparison(self.names)
            await self._play_call(http, call, comparison)
            self.result.note(scenario.name, comparison.differences)
        self._match_events(scenario)

    async def _play_call(
        self, http: aiohttp.ClientSession, call: RecordedCall, comparison: Comparison
    ) -> None:
        status, body = await self._send(http, call)
        if call.command == "queryAsyncJobResult" and call.body is not None and body is not None:
            recorded = call.body["queryasyncjobresultresponse"]["jobstatus"]
            while recorded != 0 and body["queryasyncjobresultresponse"]["jobstatus"] == 0:
                await asyncio.sleep(0.005)
                status, body = await self._send(http, call)
        comparison.same(call.status, status, "status")
        if call.body is not None:
            comparison.same(call.body, body, "")
            self._learn(call.body, body)

    async def _send(self, http: aiohttp.ClientSession, call: RecordedCall) -> tuple[int, Any]:
        params = self._params(call)
        if call.method == "POST":
            sending = http.post(self.server.endpoint, data=params)
        else:
            sending = http.get(self.server.endpoint, params=params)
        async with sending as answer:
            text = await answer.text()
            if answer.content_type == "text/xml":
                return answer.status, None
            return answer.status, json.loads(text)

    def _params(self, call: RecordedCall) -> list[tuple[str, str]]:
        params = [(key, self.names.translate(str(value))) for key, value in call.params.items()]
        params = [(key, self._secret(key, value)) for key, value in params]
        if call.command is not None:
            params.append(("command", call.command))
        if not any(key.lower() == "response" for key, _ in params):
            params.append(("response", "json"))
        if call.auth != "signed":
            return params
        apikey, secretkey = self.keys[call.actor]
        params.append(("apiKey", "nobody's" if self.scenario == "err.badapikey" else apikey))
        params += self._expiry()
        signed = signature(params, secretkey)
        params.append(("signature", signed[::-1] if self.scenario == "err.badsignature" else signed))
        return params

    def _secret(self, key: str, value: str) -> str:
        """Keys were blotted out in the recordings: getUser asked for the service's, updateUser set new
        ones.
        """
        if value != "REDACTED":
            return value
        return self.keys[SERVICE][0] if self.scenario == "read.getUser" else f"new-{key}"

    def _expiry(self) -> list[tuple[str, str]]:
        """The scenarios of signature version 3, whose expiry was not recorded, only what it looked like."""
        name = self.scenario
        if not name.startswith("sig2.v3.") or name == "sig2.v3.noexpires":
            return []
        late = timedelta(minutes=-10 if name == "sig2.v3.expired" else 10)
        when = datetime.fromtimestamp(self.clock.now_ms / 1000, UTC) + late
        zone = "Z" if name == "sig2.v3.Zformat" else "+0000"
        return [("signatureVersion", "3"), ("expires", f"{when:%Y-%m-%dT%H:%M:%S}{zone}")]

    def _learn(self, recorded: Any, simulated: Any) -> None:
        """User names by UUID, and the keys that registerUserKeys handed out."""
        for name, inner in simulated.items():
            if name == "createaccountresponse" and "account" in inner:
                for user in inner["account"]["user"]:
                    self.usernames[user["id"]] = user["username"]
        keys = simulated.get("registeruserkeysresponse", {}).get("userkeys")
        if keys:
            owner = self.region.world.users_by_apikey[keys["apikey"]]
            self.keys[owner.username] = (keys["apikey"], keys["secretkey"])

    def _match_events(self, scenario: Scenario) -> None:
        """Each recorded event among those sent and not yet recorded: it may have landed under a later
        scenario.
        """
        last = -1
        for recorded in scenario.events:
            index = self._find(recorded)
            if index is None:
                if self._ours(recorded):
                    text = f"event missing: {recorded.key} {recorded.body['description']}"
                    self.result.note(scenario.name, [text])
                continue
            sent = self.pending.pop(index)
            if sent.scenario == scenario.name and index < last:
                self.result.note(scenario.name, [f"event out of order: {sent.key}"])
            last = max(last, index) if sent.scenario == scenario.name else last
            self._compare_event(recorded, sent)

    def _find(self, recorded: RecordedEvent) -> int | None:
        wanted = (plain(self.names.translate(recorded.key)), recorded.body["status"], _words(recorded.body))
        entity = recorded.body.get("entityuuid", "")
        if entity and not self.names.knows(entity) and recorded.body["event"] != "USER.MOVE":
            return None
        for index, sent in enumerate(self.pending):
            mine = (plain(sent.key), sent.body["status"], _words(sent.body))
            known = self.names.simulated.get(entity)
            if mine == wanted and (known is None or known == sent.body.get("entityuuid")):
                return index
        return None

    def _ours(self, recorded: RecordedEvent) -> bool:
        """Whether a given scenario can have raised it: others ran in between, and their events landed
        here.
        """
        entity, user = recorded.body.get("entityuuid"), recorded.body["user"]
        return self.names.knows(user) and (entity is None or self.names.knows(entity))

    def _compare_event(self, recorded: RecordedEvent, sent: SentEvent) -> None:
        comparison = Comparison(self.names)
        comparison.same(recorded.body, sent.body, "event")
        comparison.same(self.names.translate(recorded.key), sent.key, "key")
        self.result.note(sent.scenario, comparison.differences)


def _words(body: dict[str, str]) -> str:
    return plain(body.get("description", ""))


async def replay(name: str, story: list[Scenario]) -> Replay:
    """Plays a region's whole story on a fresh simulated region. The service account is made by the first
    scenario.
    """
    clock = Clock()
    region = Region(name, seed=7, clock=clock)
    region.world.remove_account(region.world.accounts[3])
    region.faults.job_delay_ms = JOB_DELAY_MS
    server = RegionServer(region)
    await server.start()
    try:
        return await Player(region, server, clock).play(story)
    finally:
        await server.stop()
        region.jobs.stop()
