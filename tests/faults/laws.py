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
    gone = _removed(writes)
    known = set(losers)
    for uuid, own in by_entity.items():
        places = [region for region in held if uuid in held[region]]
        _judge_life(uuid, own, places, gone, found)
        if len(places) == len(held):
            final = held[places[0]][uuid]
            for name in UNIQUE:
                of_field = [write for write in own if write.field == name]
                _judge_field(uuid, of_field, final.get(name), known, found)
    return found


def _judge_life(
    uuid: str, own: Sequence[Write], places: Sequence[str], gone: Mapping[str, bool], found: Breaches
) -> None:
    label = _label(uuid, own)
    if gone.get(uuid) and places:  # by name, not along with something else: that wins over everything
        found.back.append(f"{label} was removed and is in {', '.join(places)}")
    elif not places and uuid not in gone and not _below(own, gone):
        found.lost.append(f"{label} was made, nobody removed it or what it was in, and it is nowhere")


def _removed(writes: Iterable[Write]) -> dict[str, bool]:
    """What people removed → whether by name in any region, or only along with what it was in."""
    gone: dict[str, bool] = {}
    for write in writes:
        if write.by_person and write.field == LIFE and write.after is None:
            gone[write.uuid] = gone.get(write.uuid, False) or write.direct
    return gone


def _below(own: Iterable[Write], gone: Mapping[str, bool]) -> bool:
    """Whether it was ever in something that a person's removal took: what is new there goes with it."""
    return any(write.field == "parent" and write.after in gone for write in own)


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


def _label(uuid: str, own: Sequence[Write]) -> str:
    name = next((write.after for write in own if write.field == "name" and write.after), "")
    return f"{uuid} {name}".rstrip()
