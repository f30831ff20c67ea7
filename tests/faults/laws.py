"""What must be true of a journal once everything is at rest: nothing that a region accepted is lost, and no
value that somebody had replaced is back.

In: the writes, what each region holds, and the losers that the conflict ledger names. Out: a sentence for
each breach. Pure; used by the run, and tested on made-up journals, since a law that can't be broken proves
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.journal import LIFE, Held, Write

UNIQUE = ("name", "firstname", "lastname", "email", "networkdomain")
"""Fields whose values the traffic writes once each: an old value that is there again was brought back."""
REPEATED = ("state", "role", "timezone")
"""Fields with few values, which come again and again: only who spoke last can be judged."""
DEEPEST = 10
"""Levels above an entity; the traffic makes five."""
Loser = tuple[str, str, str]
"""(canonical UUID, field, value) that the ledger says has lost."""


@dataclass
class Breaches:
    """`ledger`: changes that lost against others without knowing of them, as the ledger says."""

    lost: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    ledger: int = 0


def judge(writes: Sequence[Write], held: Mapping[str, Held], losers: Iterable[Loser]) -> Breaches:
    """`held` by region."""
    found = Breaches()
    by_entity: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_entity[write.uuid].append(write)
    world = _world(writes)
    known = set(losers)
    for uuid, own in by_entity.items():
        places = [region for region in held if uuid in held[region]]
        _judge_life(own, places, world, known, found)
        if len(places) == len(held):
            final = held[places[0]][uuid]
            for name in (*UNIQUE, *REPEATED):
                of_field = [write for write in own if write.field == name]
                judge_field = _judge_field if name in UNIQUE else _judge_last
                judge_field(uuid, of_field, final.get(name), known, found)
    return found


def _judge_life(
    own: Sequence[Write], places: Sequence[str], world: _World, known: set[Loser], found: Breaches
) -> None:
    uuid, label = own[0].uuid, _label(own[0].uuid, own)
    made = any(one.by_person and one.field == LIFE and one.after is not None for one in own)
    if world.gone.get(uuid) and places:  # by name, not along with something else: that wins over everything
        found.back.append(f"{label} was removed and is in {', '.join(places)}")
    elif made and not places and not world.is_gone(uuid):
        if (uuid, LIFE, "present") in known:  # made in what was removed elsewhere
            found.ledger += 1
            return
        found.lost.append(f"{label} was made, nobody removed it or what it was in, and it is nowhere")


@dataclass
class _World:
    """`gone`: what people removed, and whether by name. `above`: in what each was last, in every region."""

    gone: Mapping[str, bool]
    above: Mapping[str, set[str]]

    def is_gone(self, uuid: str, depth: int = 0) -> bool:
        """Whether a person removed it, or anything it was in: what is new there goes with it."""
        if uuid in self.gone:
            return True
        return depth < DEEPEST and any(self.is_gone(one, depth + 1) for one in self.above.get(uuid, ()))


def _world(writes: Sequence[Write]) -> _World:
    last: dict[tuple[str, str], str] = {}
    for write in writes:
        if write.field == "parent" and write.after is not None:
            last[write.uuid, write.region] = write.after
    above: dict[str, set[str]] = defaultdict(set)
    for (uuid, _), parent in last.items():
        above[uuid].add(parent)
    return _World(_removed(writes), above)


def _removed(writes: Iterable[Write]) -> dict[str, bool]:
    """What people removed → whether by name in any region, or only along with what it was in."""
    gone: dict[str, bool] = {}
    for write in writes:
        if write.by_person and write.field == LIFE and write.after is None:
            gone[write.uuid] = gone.get(write.uuid, False) or write.direct
    return gone


def _judge_field(
    uuid: str, own: Sequence[Write], final: str | None, known: set[Loser], found: Breaches
) -> None:
    said = [write for write in own if write.by_person]
    if not said or not final:  # cleared fields hold the same nothing again and again
        return
    last_said = max(
        (number for number, one in enumerate(own) if one.after == final and one.by_person), default=-1
    )
    if last_said < 0:
        found.lost.append(f"{_label(uuid, own)}: {own[0].field} is {final!r}, which nobody said")
        return
    replaced = [one for one in own[last_said + 1 :] if one.by_person and one.before == final]
    for one in replaced:
        words = f"{_label(uuid, own)}: {one.field} is {final!r}, which {one.after!r} replaced in {one.region}"
        spread = any(other.after == one.after and not other.by_person for other in own)
        (found.back if spread else found.lost).append(words)
    if not replaced:
        _judge_losers(uuid, own, final, known, found)


def _judge_losers(uuid: str, own: Sequence[Write], final: str, known: set[Loser], found: Breaches) -> None:
    """Of two that did not know of each other one wins; the other must be in the ledger."""
    said = [write for write in own if write.by_person]
    answered = {write.before for write in said}
    for one in said:
        if one.after and one.after != final and one.after not in answered and one.field != LIFE:
            if (uuid, one.field, one.after) in known:
                found.ledger += 1
            else:
                found.lost.append(
                    f"{_label(uuid, own)}: {one.field} {one.after!r}, said in {one.region}, gave way to"
                    f" {final!r} and no ledger says so"
                )


def _judge_last(
    uuid: str, own: Sequence[Write], final: str | None, known: set[Loser], found: Breaches
) -> None:
    """Who spoke last, and later than all others, and knew what the one before had said, must be heard."""
    said = [number for number, one in enumerate(own) if one.by_person]
    if len(said) < 2 or own[said[-1]].after == final:
        return
    before, last = (own[number] for number in said[-2:])
    knew = before.region == last.region or any(
        one.region == last.region and one.after == before.after for one in own[said[-2] + 1 : said[-1]]
    )
    alone = all(own[number].second < last.second for number in said[:-1])
    if knew and alone and (uuid, last.field, last.after) not in known and not _undone(own, said[-1]):
        found.lost.append(
            f"{_label(uuid, own)}: {last.field} is {final!r}, though {last.region} said {last.after!r} last"
        )


def _undone(own: Sequence[Write], last: int) -> bool:
    """Whether people only took back there what they had done since the sync wrote there: nothing tells the
    value that came back from what is on its way there, or was never gone (README, "Not guaranteed")."""
    here: list[Write] = []
    for one in own[: last + 1]:
        if one.region == own[last].region:
            here = [*here, one] if one.by_person else []
    return any(own[last].after in (one.before, one.after) for one in here[:-1])


def _label(uuid: str, own: Sequence[Write]) -> str:
    name = next((write.after for write in own if write.field == "name" and write.after), "")
    return f"{uuid} {name}".rstrip()
