"""The one agreed state of an entity over all regions, and what travels between the stages of the walk.

`Record` is what merge loads and stores; `Observation` is what observe and apply publish; `Desired` is what
merge sends to a region. All UUIDs in a record's fields are canonical; `Desired` and `Observation` say which.
Every value is frozen: a change makes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.entities import NEVER_CLEARED, OPTIONAL, Kind

SENT_KEPT: Final = 32
"""How many desired states on their way to one region a record remembers: of more, those in the middle are
forgotten. The oldest may have been written and not told, the newest will be; those between are superseded
before they are begun."""


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """When (milliseconds) and where a value was given. `Topology.order` says which of two is greater."""

    time: int
    region: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a region may be the source of: of these kinds what is in a domain, at any depth, and the domain
    itself. `domain`: the names from below ROOT; none: everything."""

    domain: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset(Kind)


Sources = tuple[Source, ...] | None
"""All that one region may say; None: everything."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Who wins a conflict, and whose word counts.

    `priority`: the regions' names, the most important first; it breaks ties of time. `master`: under topology
    `master` the region whose values win every conflict whatever the clocks say; None under `multi-master`.
    `sources`: what a region is the source of; one that is not named may say everything.
    """

    priority: tuple[str, ...]
    master: str | None = None
    sources: Mapping[str, Sources] = field(default_factory=dict)

    def order(self, stamp: Stamp) -> tuple[bool, int, int, str]:
        """A sort key: the greatest wins."""
        known = stamp.region in self.priority
        rank = -self.priority.index(stamp.region) if known else -len(self.priority)
        return (stamp.region == self.master, stamp.time, rank, stamp.region)


@dataclass(frozen=True, slots=True)
class Value:
    """One field of a record: its text and who gave it when."""

    text: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Life:
    """Whether the entity exists. Once removed it stays so: CloudStack never takes a used UUID back."""

    present: bool
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Sent:
    """A desired state on its way to a region; `fields` None means: remove it."""

    version: int
    fields: dict[str, str] | None


def remembered(*sent: Sent) -> tuple[Sent, ...]:
    """The oldest and the newest of too many."""
    if len(sent) <= SENT_KEPT:
        return sent
    return (*sent[: SENT_KEPT // 2], *sent[-(SENT_KEPT - SENT_KEPT // 2) :])


@dataclass(frozen=True, slots=True)
class RegionState:
    """What one region was last known to hold (`confirmed`, None = absent), and what is on its way there.
    `term`: of the worker that was believed last (see `Observation`).
    `settled`: the greatest version that is known to have been applied: `confirmed` is of then, or later."""

    confirmed: dict[str, str] | None = None
    sent: tuple[Sent, ...] = ()
    term: int = 0
    settled: int = field(default=0, compare=False)

    @property
    def expected(self) -> dict[str, str] | None:
        """What the region will hold when all that was sent has arrived."""
        return self.sent[-1].fields if self.sent else self.confirmed

    def will_hold(self, wanted: dict[str, str] | None) -> bool:
        """Whether what is expected there is as wanted, but for what no call could make empty: what a region
        that may not say it has put there."""
        held = self.expected
        if held is None or wanted is None or held == wanted:
            return held == wanted
        return all(
            held.get(name) == text or (name in NEVER_CLEARED and not text) for name, text in wanted.items()
        )


@dataclass(frozen=True, slots=True)
class Record:
    """The golden record of one entity. `merged` is, per observation log, the offset merged last."""

    kind: Kind
    uuid: str
    fields: dict[str, Value]
    life: Life
    version: int = 0
    merged: dict[str, int] = field(default_factory=dict)
    regions: dict[str, RegionState] = field(default_factory=dict)

    def desired(self) -> dict[str, str] | None:
        """What is agreed; None when the entity is removed."""
        if not self.life.present:
            return None
        return {name: value.text for name, value in self.fields.items()}

    def desired_in(self, region: str) -> dict[str, str] | None:
        """What that region should hold: of the optional fields only those that it tells of."""
        wanted = self.desired()
        if wanted is None:
            return None
        confirmed = self.region(region).confirmed or {}
        for name in OPTIONAL[self.kind]:
            if name not in confirmed:
                wanted.pop(name, None)
        return wanted

    def region(self, name: str) -> RegionState:
        return self.regions.get(name, RegionState())

    @property
    def parent(self) -> str:
        """The canonical UUID of the parent domain, the account's domain or the user's account."""
        return self.fields["parent"].text


@dataclass(frozen=True, slots=True)
class Position:
    """Where an observation stands in its log. `log` names the partition and the log's own identity, so that
    a log that was made anew (and counts from 0 again) is not taken for the old one."""

    log: str
    offset: int


@dataclass(frozen=True, slots=True)
class Founder:
    """The user that an account is created with: CloudStack makes no account without one."""

    uuid: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Observation:
    """What `region` really held of one entity at one moment.

    `uuid` and the `parent` field are the region's own as published, canonical once the hub has resolved them.
    `fields` None: absent there. `time`: when the change was made as far as known (the event's time), in
    milliseconds. `applied`: the version whose apply produced this read-back, None for a plain observation.
    `founder`: for an account, its oldest user there. `lost`: it is absent, and nobody removed it there: the
    region lost it (a backup was restored), or never had it. `created`: when it was made there, where a scan
    found it (ms). `term`: the number under which its worker held the entity, greater for each worker after
    it; 0: not told. `wrote`: all of it is our own writing, made just now; nothing was left alone. `unseen`:
    of an apply's result the fields that do not hold what `applied` was to bring; all others do, however long
    ago that was sent. None: not told. `root_admin`: it is a root administrator's there. `unheard`: names of
    fields, and LIFE, that the region may not say, as the hub finds; nothing comes of them (`authority`).
    """

    region: str
    kind: Kind
    uuid: str
    fields: dict[str, str] | None
    time: int
    cause: str = ""
    applied: int | None = None
    founder: Founder | None = None
    lost: bool = False
    created: int | None = None
    term: int = 0
    wrote: bool = False
    unseen: tuple[str, ...] | None = None
    root_admin: bool = False
    unheard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """One desired state for one region, one outbox row: the record at `version` in canonical UUIDs.

    `known` is what the region was last known to hold when this was sent: what the target may be holding
    without it being news; `settled`: of the version that was applied there by then, or later (None: not
    told). `changed`: when what led to this was done in its region (ms), for whoever measures. `revokes`: it
    takes access away (`core.urgency`), and so goes by a topic of its own.
    """

    region: str
    kind: Kind
    uuid: str
    version: int
    fields: dict[str, str] | None
    known: dict[str, str] | None
    changed: int | None = field(default=None, compare=False)
    settled: int | None = field(default=None, compare=False)
    revokes: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two regions gave one field different values without knowing of each other: a line of the ledger. With a
    `reason` it is one of what a region said and may not say."""

    uuid: str
    field: str
    base: str | None
    kept: str
    kept_stamp: Stamp
    lost: str
    lost_stamp: Stamp
    reason: str = ""
