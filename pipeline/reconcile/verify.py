"""Says whether regions are equal, entity by entity, and what differs.

In: the ways to the regions. Out: a `Verdict`. Called by `region-sync verify`. Regions are read at slightly
different times, so what differs is read once more before it is told: what is on its way has often arrived by
then."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.cloudstack.resources import Resources
from pipeline.core.digest import ROOT_KEY
from pipeline.core.entities import Fields, Kind
from pipeline.reconcile.reading import Holding, read_region

SHOWN: Final = 100
"""Entities that are told in full; more are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One entity that not all regions hold alike: region → its fields there, None where it is not."""

    kind: Kind
    path: str
    held: Mapping[str, Fields | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`holdings`: what each region holds, by digests. `differing`: how many entities differ; `differences`:
    the first of them in full. `subtrees`: the domains below which something differs."""

    holdings: Mapping[str, Holding]
    differing: int
    differences: tuple[Difference, ...] = ()
    subtrees: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """By the roots, not by what was told in full."""
        return len({holding.root for holding in self.holdings.values()}) <= 1


async def verify(regions: Mapping[str, Resources]) -> Verdict:
    """Raises the errors of errors.py: about a region that can't be read nothing is known."""
    told = await asyncio.gather(*(resources.limit_names() for resources in regions.values()))
    left_out = frozenset[tuple[Kind, str]]().union(*told) - frozenset.intersection(*told)
    first = Verdict(await _read(regions, (), left_out), 0)
    if first.equal:
        return first
    wanted = frozenset(sorted(differing(first.holdings))[:SHOWN])
    second = await _read(regions, wanted, left_out)
    again = differing(second)
    shown = tuple(_in_full(one, second) for one in sorted(again) if one in wanted)
    return Verdict(second, len(again), shown, tuple(sorted(_subtrees(second))))


def differing(holdings: Mapping[str, Holding]) -> set[int]:
    """The keys of the entities that not all hold alike."""
    first, *others = (set(holding.digests.items()) for holding in holdings.values())
    return {key for other in others for key, _ in first ^ other}


def _subtrees(holdings: Mapping[str, Holding]) -> set[str]:
    domains = {domain: path for holding in holdings.values() for domain, path in holding.paths.items()}
    return {
        path or "/"
        for domain, path in domains.items()
        if domain != ROOT_KEY and len({holding.subtrees.get(domain) for holding in holdings.values()}) > 1
    }


def _in_full(key: int, holdings: Mapping[str, Holding]) -> Difference:
    lines = {name: holding.lines.get(key) for name, holding in holdings.items()}
    one = next(line for line in lines.values() if line is not None)
    return Difference(
        one.kind, one.path, {name: None if line is None else line.fields for name, line in lines.items()}
    )


async def _read(
    regions: Mapping[str, Resources], wanted: Collection[int], left_out: Collection[tuple[Kind, str]]
) -> dict[str, Holding]:
    """All at once: the closer in time, the less is on its way. `left_out`: limits of which not all tell."""
    reads = (read_region(resources, wanted, left_out) for resources in regions.values())
    found = await asyncio.gather(*reads)
    return dict(zip(regions, found, strict=True))
