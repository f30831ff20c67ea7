"""Which faults happen when: drawn from a seed, so that a run can be had again.

In: a seed, how many, and what there is to be hurt. Out: faults in order. Pure. A deck with every kind of
fault is shuffled and dealt, again and again: a short run has many kinds, a long one all of them often.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.proxy import Fault

PROCESSES: Final = ("bridge", "hub", "worker")
SERVICES: Final = ("broker", "rabbitmq", "mariadb")

KILL: Final = "kill"
KILL_SOME: Final = "kill some"
KILL_ALL: Final = "kill all processes"
KILL_EVERYTHING: Final = "kill processes and services"
FREEZE: Final = "freeze"
JOIN: Final = "join"
LEAVE: Final = "leave"
NETWORK: Final = "network"

SESSION_S: Final = 10.0
"""Of a consumer group (pipeline.app): who is silent for longer has lost its partitions."""
AWAY_S: Final = (0.0, 6.0)
FROZEN_S: Final = (SESSION_S + 2.0, SESSION_S + 5.0)
STALLED_S: Final = (2.0, 7.0)
CUT_S: Final = (1.0, 12.0)

Card = tuple[str, str]
"""A fault's kind, and the kind of what it hurts."""

DECK: Final[tuple[Card, ...]] = (
    *((KILL, kind) for kind in (*PROCESSES, *SERVICES, "hub", "worker", "broker")),
    (KILL_SOME, ""),
    (KILL_ALL, ""),
    *((FREEZE, kind) for kind in (*PROCESSES, "worker", "broker", "mariadb")),
    (JOIN, "spare"),
    (LEAVE, "worker"),
    (LEAVE, "hub"),
    *((NETWORK, fault.name) for fault in Fault),
    (NETWORK, Fault.CUT.name),
    (NETWORK, Fault.SLOW.name),
)
EVERYTHING_EVERY: Final = 2
"""Decks between two ends of all processes and services at once, which take half a minute to come back."""


@dataclass(frozen=True, slots=True)
class Target:
    """`names` by kind, and the network's links."""

    names: Mapping[str, Sequence[str]]
    links: Sequence[str]


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault. `after_s`: since the one before; `lasts_s`: until it is mended."""

    number: int
    after_s: float
    kind: str
    targets: tuple[str, ...]
    lasts_s: float
    network: Fault | None = None

    @property
    def label(self) -> str:
        """For the report: kind and what kind of thing it befell."""
        if self.network is not None:
            return f"network {self.network.value}"
        if self.kind in (KILL, FREEZE, JOIN, LEAVE):
            return f"{self.kind} {self.targets[0].split('-')[0]}"
        return self.kind


def schedule(seed: int, count: int, there: Target, gap_s: tuple[float, float]) -> list[Planned]:
    """`count` faults, `gap_s` apart at least and at most."""
    rng = random.Random(f"faults/{seed}")
    cards = _dealt(rng)
    return [_plan(rng, number, next(cards), there, gap_s) for number in range(1, count + 1)]


def _dealt(rng: random.Random) -> Iterator[Card]:
    deal = 0
    while True:
        deck = list(DECK)
        deal += 1
        if deal % EVERYTHING_EVERY == 0:
            deck.append((KILL_EVERYTHING, ""))
        rng.shuffle(deck)
        yield from deck


def _plan(rng: random.Random, number: int, card: Card, there: Target, gap_s: tuple[float, float]) -> Planned:
    kind, what = card
    after_s = rng.uniform(*gap_s)
    if kind == NETWORK:
        links = (rng.choice(there.links),)
        return Planned(number, after_s, kind, links, rng.uniform(*CUT_S), Fault[what])
    processes = [name for one in PROCESSES for name in there.names[one]]
    if kind == KILL_SOME:
        some = rng.sample(processes, rng.randint(2, len(processes) // 2))
        return Planned(number, after_s, kind, tuple(sorted(some)), rng.uniform(*AWAY_S))
    if kind == KILL_ALL:
        return Planned(number, after_s, kind, tuple(sorted(processes)), rng.uniform(*AWAY_S))
    if kind == KILL_EVERYTHING:
        everything = [name for one in (*PROCESSES, *SERVICES) for name in there.names[one]]
        return Planned(number, after_s, kind, tuple(sorted(everything)), rng.uniform(*AWAY_S))
    target = (rng.choice(there.names[what]),)
    if kind == FREEZE:
        lasts = rng.uniform(*(FROZEN_S if what in PROCESSES else STALLED_S))
    else:
        lasts = rng.uniform(*AWAY_S)
    return Planned(number, after_s, kind, target, lasts)
