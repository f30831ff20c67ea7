"""What a demonstration is played on: settings for simulated regions, and a region that has not joined them.

In: running simulated regions, a folder. Out: settings, also as a file that every command takes. Used by the
demo, the tests and the benchmarks.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from pipeline.sealing import new_pair
from pipeline.settings import ALL, WEB_PORT, Settings
from pipeline.web import port_near

NEWCOMER: Final = "new"
EVERYBODY: Final = ({"domain": "/", "api_keys": True, "passwords": "database"},)
"""Of `credentials`: every user's API keys are carried, and passwords."""
_OWN_CHANGES: Final = 60
_OWN_NAMES: Final = TrafficOptions(silent=False, invalid=0.0, collide=0.5)


@asynccontextmanager
async def newcomer(seed: int) -> AsyncIterator[SimulatedRegion]:
    """A region with domains, accounts and users of its own, some under names that others use too."""
    async with simulated_regions(1, seed=seed, names=(NEWCOMER,)) as (region,):
        traffic = Traffic([region], seed, _OWN_NAMES)
        while traffic.accepted < _OWN_CHANGES:
            await traffic.step()
        region.region.log.rows.clear()  # all that is longer ago than its event log tells
        yield region


def file_in(folder: Path) -> Path:
    """Where the settings are."""
    return folder / "regions.yaml"


def sandbox_settings(
    regions: list[SimulatedRegion],
    folder: Path,
    bus: Mapping[str, Any] = MappingProxyType({}),
    credentials: Sequence[Mapping[str, Any]] = (),
) -> Settings:
    """Settings for an embedded pipeline between simulated regions, its database and a file of these settings
    in `folder`; `bus` is what they say of each region's bus, `credentials` whose are carried. A newcomer is
    in mode plan."""
    pairs = {region.name: new_pair() for region in regions}
    tree: dict[str, Any] = {
        "database": f"sqlite:///{folder}/region-sync.db",
        "web": {"port": port_near(WEB_PORT), "token": secrets.token_urlsafe()},
        "credentials": [dict(rule) for rule in credentials],
        "regions": [
            {
                "name": region.name,
                "host": region.endpoint.removesuffix("/client/api"),
                "api_key": region.service.apikey,
                "secret_key": region.service.secretkey,
                # The traffic removes more of a handful of entities in a minute than people do in a month.
                "removals": {"per_hour": None, "share": None},
                "bus": dict(bus),
                "mode": "plan" if region.name == NEWCOMER else "apply",
                "sealing_key": pairs[region.name][1],
                "sealing_private_keys": [pairs[region.name][0]],
                **({"user_database": region.user_database} if region.user_database else {}),
            }
            for region in regions
        ],
    }
    file_in(folder).write_text(yaml.safe_dump(tree, sort_keys=False))
    return Settings.parse(tree, {}, ALL, "demo")
