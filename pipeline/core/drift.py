"""What it would take to make one region equal: a line for each entity, their order, their cost, their hash.

In: what merge and plan decided of an entity. Out: its drift in words, and a fingerprint that changes when
anything of it does. Pure; called by whoever shows a plan, and by whoever carries it out later.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.core.entities import Fields, Kind
from pipeline.core.plan import Call

HASH_DIGITS: Final = 16
"""Of a plan's hash: enough that two plans never share one by chance, and a person can copy it."""

COST_MS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "createDomain": 30,
        "createAccount": 1_500,
        "createUser": 300,
        "updateAccount": 330,
        "deleteAccount": 1_500,
        "deleteDomain": 1_500,
    }
)
"""What a call takes where nothing was measured in the region itself (cloudstack.md, "What calls cost")."""
OTHER_MS: Final = 30
AT_ONCE: Final = 2
"""How much faster many calls at once are than one after the other (cloudstack.md: about 1.9 times)."""


class Drift(StrEnum):
    """How an entity stands in a region, against its record."""

    MATCHED = "matched"
    DIFFERENT = "different"
    MISSING = "missing"
    EXTRA = "extra"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Step:
    """One entity of a plan. `here`: what the region holds, `wanted`: what it will hold, both in canonical
    UUIDs, None where absent. `calls`: those of this region, in order; `elsewhere`: the other regions that
    get something because of this one. `uuid` is canonical, `local` the region's own; `linked`: from then on
    the two are known to be one; `never_here`: as far as known it never was in the region."""

    kind: Kind
    uuid: str
    local: str
    path: str
    drift: Drift
    here: Fields | None
    wanted: Fields | None
    calls: tuple[Call, ...] = ()
    elsewhere: tuple[str, ...] = ()
    note: str = ""
    linked: bool = False
    never_here: bool = False
    depth: int = 0

    @property
    def differences(self) -> dict[str, tuple[str | None, str | None]]:
        """Field → (what is here, what will be)."""
        here, wanted = self.here or {}, self.wanted or {}
        return {
            name: (here.get(name), wanted.get(name))
            for name in (wanted or here)
            if here.get(name) != wanted.get(name)
        }

    @property
    def place(self) -> int:
        """Where its calls come: parents are linked or made before children, and go after them; what needs
        neither comes last."""
        if not (self.calls or self.linked):
            return _LAST
        return place_of(self.kind, self.depth, present=self.wanted is not None)

    @property
    def fingerprint(self) -> str:
        """Another one when anything of it changes but the words."""
        said = [
            self.kind.value,
            self.uuid,
            self.local,
            self.drift.value,
            self.here and dict(self.here),
            self.wanted and dict(self.wanted),
            [asdict(call) for call in self.calls],
            sorted(self.elsewhere),
        ]
        written = json.dumps(said, sort_keys=True, default=dict).encode()
        return hashlib.sha256(written).hexdigest()


_ORDER: Final = {Kind.ROLE: 0, Kind.DOMAIN: 1, Kind.ACCOUNT: 2, Kind.USER: 3}
SHOWN_MAX: Final = 300
"""Characters of one parameter that a person is shown."""
_LEVELS: Final = 1_000
_LAST: Final = 10 * _LEVELS


def place_of(kind: Kind, depth: int, *, present: bool) -> int:
    """Where what is to be done about an entity comes: parents before children, and removals after all that
    stays, children before parents. `depth`: how many domains it is below."""
    place = _ORDER[kind]
    return place * _LEVELS + depth if present else (2 * len(_ORDER) - place) * _LEVELS - depth


@dataclass(slots=True)
class Tally:
    """A plan counted while it is made. `drifts`: of entities; `commands`: of the region's calls."""

    drifts: Counter[Drift] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)

    def add(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.drifts[step.drift] += 1
            self.commands.update(call.command for call in step.calls)

    @property
    def equal(self) -> bool:
        """Nothing is to be done, here or elsewhere."""
        return all(not count or drift is Drift.MATCHED for drift, count in self.drifts.items())

    def seconds(self, measured_ms: Mapping[str, float]) -> int:
        """About how long the calls take. `measured_ms`: command → what it took in this region before."""
        total = sum(
            count * measured_ms.get(command, COST_MS.get(command, OTHER_MS))
            for command, count in self.commands.items()
        )
        return round(total / 1000 / AT_ONCE)


def plan_hash(region: str, fingerprints: Iterable[str]) -> str:
    """Of a whole plan: the same whenever the same is to be done, whatever the order it was found in."""
    digest = hashlib.sha256(region.encode("utf-8", "surrogatepass"))
    for one in sorted(fingerprints):
        digest.update(one.encode())
    return digest.hexdigest()[:HASH_DIGITS]


def shown(call: Call) -> str:
    """A call for a person. It holds no secret: those are made at the edge."""
    params = {name: _cut(text) for name, text in call.params.items()}
    params |= {"role": call.role} if call.role else {}
    params |= {"key": call.key} if call.key else {}
    return f"{call.command}({', '.join(f'{name}={text}' for name, text in params.items())})"


def _cut(text: str) -> str:
    """A role's rules may be a long text."""
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
