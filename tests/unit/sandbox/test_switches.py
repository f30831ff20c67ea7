"""The switches of a simulated region: each does what it says, from Python and over HTTP."""

from __future__ import annotations

import asyncio
import random
import time

import aiohttp
import pytest

from pipeline.sandbox.bus import FaultyBus
from pipeline.sandbox.faults import Faults
from pipeline.sandbox.latency import Load, real_ms
from pipeline.sandbox.launch import SimulatedRegion
from tests.contract.sandbox.api import Api


def heard(faults: Faults, count: int) -> list[str]:
    """What arrives of so many events."""
    out: list[str] = []
    bus = FaultyBus(faults, random.Random(1), lambda key, _: out.append(key))
    for number in range(count):
        bus.tell(str(number), "")
    return out


def test_events_pass_when_nothing_is_on() -> None:
    assert heard(Faults(), 4) == ["0", "1", "2", "3"]


def test_events_are_lost_and_doubled_in_proportion() -> None:
    assert 400 < len(heard(Faults(lost_ratio=0.5), 1000)) < 600
    assert 1400 < len(heard(Faults(doubled_ratio=0.5), 1000)) < 1600


async def test_events_are_reordered_and_none_is_lost() -> None:
    out = heard(Faults(reordered_ratio=0.3), 100)
    assert sorted(out, key=int) != out
    while len(out) < 100:
        await asyncio.sleep(0.01)
    assert sorted(out, key=int) == [str(n) for n in range(100)]


async def test_a_lost_event_stays_in_the_log(api: Api) -> None:
    api.region.faults.lost_ratio = 1.0
    await api.domain("d")
    assert api.heard() == []
    assert (await api("listEvents", listall="true")).body["count"] == 1


async def test_throttling(api: Api) -> None:
    api.region.faults.throttle_per_s = 3
    answers = [await api("listUsers") for _ in range(8)]
    refused = [one for one in answers if one.status == 429]
    assert refused and answers[0].status == 200
    assert "please retry after" in refused[0].error[1]


async def test_latency(api: Api) -> None:
    api.region.faults.latency_ms = 60
    began = time.perf_counter()
    await api("listUsers")
    assert time.perf_counter() - began >= 0.06


def test_real_latency_has_the_measured_proportions() -> None:
    few, many = Load(1, 30, False), Load(1, 722, False)
    assert real_ms("listUsers", few) == real_ms("listUsers", many)
    assert 50 <= real_ms("listAccounts", few) <= 60
    assert 250 <= real_ms("listAccounts", many) <= 320
    assert real_ms("listAccounts", Load(500, 722, True)) > 3 * real_ms("listAccounts", Load(500, 722, False))
    assert real_ms("createUser", many) > 10 * real_ms("updateUser", many)


async def test_errors_without_effect(api: Api) -> None:
    api.region.faults.error_ratio = 1.0
    async with aiohttp.ClientSession() as http, http.get(api.region.endpoint) as answer:
        assert answer.status == 503
    api.region.faults.error_ratio = 0.0
    assert (await api("listDomains")).body["count"] == 1


@pytest.mark.parametrize(("switch", "domains"), [("drop_before_ratio", 1), ("drop_after_ratio", 2)])
async def test_broken_connections(api: Api, switch: str, domains: int) -> None:
    setattr(api.region.faults, switch, 1.0)
    with pytest.raises(aiohttp.ClientError):
        await api("createDomain", name="d")
    setattr(api.region.faults, switch, 0.0)
    assert (await api("listDomains")).body["count"] == domains


async def test_hanging(api: Api) -> None:
    api.region.faults.hang_ratio = 1.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(api("listUsers"), 0.2)


async def test_down_and_up_again_with_its_state(api: Api) -> None:
    await api.domain("d")
    await api.region.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await api("listDomains")
    await api.region.start()
    assert (await api("listDomains")).body["count"] == 2


async def test_over_http(region: SimulatedRegion, api: Api) -> None:
    base = region.endpoint.replace("/client/api", "/sandbox/")
    await api.domain("d")
    async with aiohttp.ClientSession() as http:
        async with http.post(base + "faults", json={"latency_ms": 5, "real_latency": False}) as answer:
            assert (await answer.json())["latency_ms"] == 5.0
        assert region.faults.latency_ms == 5.0
        for wrong in ({"no_such": 1}, {"latency_ms": "fast"}, [1]):
            async with http.post(base + "faults", json=wrong) as answer:
                assert answer.status == 400
        async with http.get(base + "calls") as answer:
            counted = await answer.json()
        assert (counted["writes"], counted["reads"]) == (1, 0)
        assert counted["accounts"] == {"admin": {"createDomain": 1}}
        async with http.get(base + "state") as answer:
            assert (await answer.json()) == region.dump()
        async with http.get(base + "nothing") as answer:
            assert answer.status == 404


async def test_the_unauthenticated_port(region: SimulatedRegion) -> None:
    where = region.endpoint.replace("/client/api", "/integration/api")
    params = {"command": "listUsers", "listall": "true"}
    async with aiohttp.ClientSession() as http, http.get(where, params=params) as answer:
        assert (await answer.json())["listusersresponse"]["count"] == 2


async def test_xml_where_it_is_asked_for(region: SimulatedRegion) -> None:
    params = {"command": "listUsers", "response": "xml"}
    async with aiohttp.ClientSession() as http, http.get(region.endpoint, params=params) as answer:
        text = await answer.text()
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?><listusersresponse cloud-stack-version=')
    assert "<errorcode>401</errorcode>" in text
