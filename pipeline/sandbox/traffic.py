"""People at work: a seeded, weighted mix of all verbs, valid and invalid, through each region's own HTTP
API.

Comes in: running regions and a seed. Goes out: changes made with the regions' admin keys, never the
sync's, and how many were accepted and refused. Used by the demo, the tests and the benchmarks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from pipeline.sandbox.auth import signature
from pipeline.sandbox.chooser import Chooser
from pipeline.sandbox.launch import SimulatedRegion
from pipeline.sandbox.verbs import INVALID, VALID, Request, create_account, create_domain

JOB_POLL_S = 0.01
JOB_POLLS = 500
CALL_TIMEOUT_S = 30.0

ACCEPTED = "accepted"
REFUSED = "refused"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """`invalid` is the share of calls meant to be refused. `disjoint` changes each entity only where it
    was born.

    `collide` is the share of new names that any region may make too. `silent` allows calls that change an
    account's state without an event about it (enableUser, lockUser of the last enabled user).
    """

    invalid: float = 0.1
    disjoint: bool = False
    collide: float = 0.0
    silent: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """One attempted call and what came of it. `unknown`: the answer was lost, the effect may be there."""

    region: str
    verb: str
    command: str
    params: dict[str, str] = field(repr=False)
    outcome: str
    status: int
    text: str


class Traffic:
    """Every step is one call in one region, to an entity that this region holds at that moment."""

    def __init__(
        self, regions: Sequence[SimulatedRegion], seed: int, options: TrafficOptions | None = None
    ) -> None:
        self.options = options or TrafficOptions()
        self.outcomes: Counter[str] = Counter()
        self.verbs: Counter[str] = Counter()
        self._regions = list(regions)
        self._rng = random.Random(f"traffic/{seed}")
        self._serials = {region.name: itertools.count(1) for region in regions}

    @property
    def accepted(self) -> int:
        """Changes that a region took."""
        return self.outcomes[ACCEPTED]

    @property
    def refused(self) -> int:
        """Calls that a region answered with an error."""
        return self.outcomes[REFUSED]

    async def step(self) -> Change:
        """One call, and for an asynchronous command the end of its job."""
        region = self._rng.choice(self._regions)
        verb, (command, params) = self._choose(region)
        status, text = await self._perform(region, command, params)
        outcome = (
            ACCEPTED if status == 200 else (REFUSED if 400 <= status < 600 and status != 503 else UNKNOWN)
        )
        self.outcomes[outcome] += 1
        self.verbs[verb] += 1
        return Change(region.name, verb, command, params, outcome, status, text)

    async def run(self, changes: int) -> None:
        """Steps until so many more changes were accepted."""
        goal = self.accepted + changes
        while self.accepted < goal:
            await self.step()

    def _chooser(self, region: SimulatedRegion) -> Chooser:
        shared = self._rng.random() < self.options.collide
        serial = self._serials[region.name]
        return Chooser(
            world=region.region.world,
            rng=self._rng,
            prefix="all" if shared else region.name,
            own=self.options.disjoint,
            silent=self.options.silent,
            serial=lambda: next(serial),
        )

    def _choose(self, region: SimulatedRegion) -> tuple[str, Request]:
        """A verb by weight; where it finds nothing to do, something is made."""
        pick = self._chooser(region)
        if self._rng.random() < self.options.invalid:
            verb = self._rng.choice(INVALID)
        else:
            verb = self._rng.choices([one for one, _ in VALID], [weight for _, weight in VALID])[0]
        request = verb(pick)
        if request is not None:
            return verb.__name__, request
        if self._rng.random() < 0.3:
            return create_domain.__name__, create_domain(pick)
        return create_account.__name__, create_account(pick)

    async def _perform(
        self, region: SimulatedRegion, command: str, params: dict[str, str]
    ) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http:
                status, body = await _call(http, region, (command, params))
                if "jobid" in body:
                    return await _job(http, region, str(body["jobid"]))
                return status, str(body.get("errortext", ""))
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, type(error).__name__


async def _call(
    http: aiohttp.ClientSession, region: SimulatedRegion, request: Request
) -> tuple[int, dict[str, object]]:
    """Status and inner body; an answer that is no JSON gives an empty one."""
    command, params = request
    keys = region.admin
    pairs = [("command", command), ("apiKey", keys.apikey), ("response", "json"), *params.items()]
    pairs.append(("signature", signature(pairs, keys.secretkey)))
    async with http.post(region.endpoint, data=pairs) as answer:
        text = await answer.text()
        if answer.content_type != "application/json":
            return answer.status, {}
        return answer.status, next(iter(json.loads(text).values()))


async def _job(http: aiohttp.ClientSession, region: SimulatedRegion, jobid: str) -> tuple[int, str]:
    """How the job ended, as if the call had been synchronous; status 0 if it did not end in time."""
    for _ in range(JOB_POLLS):
        status, body = await _call(http, region, ("queryAsyncJobResult", {"jobid": jobid}))
        if status == 200 and body["jobstatus"] != 0:
            result = body.get("jobresult")
            if isinstance(result, dict) and "errorcode" in result:
                return int(result["errorcode"]), str(result["errortext"])
            return 200, ""
        await asyncio.sleep(JOB_POLL_S)
    return 0, "job did not end"
