"""Says for how long a worker has had messages and has finished none of them.

In: what one look at a worker found, and what the looks before had come to. Out: seconds, and words once they
are too many. Pure; called by `agents/watchdog`. Time is counted from look to look, and of a long time between
two only what it should have been: a process that was stopped, or slept, was not at fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a partition's consumers have acknowledged, and where it ends."""

    committed: int
    end: int


@dataclass(frozen=True, slots=True)
class Look:
    """One look. `at`: seconds by a clock that only goes on; `done`: counts all that was finished; `places`:
    of the partitions that are assigned; `busy`: those with messages that were taken and are not finished;
    `full`: no more are taken just now; `excuse`: what is known to be away, so that nothing can be
    finished."""

    at: float
    done: int
    places: Mapping[Partition, Place]
    busy: Collection[Partition] = ()
    full: bool = False
    excuse: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """What the looks came to: for how long nothing at all was finished though messages wait, and for how long
    nothing of a partition was, though nothing of it is at work. The rest is of the last look."""

    at: float
    done: int = 0
    whole_s: float = 0.0
    places: Mapping[Partition, Place] = field(default_factory=dict)
    each_s: Mapping[Partition, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The longest of them."""
        return max((self.whole_s, *self.each_s.values()))

    def words(self, limit_s: float) -> str | None:
        """What has lasted longer than that; None: nothing has."""
        if self.whole_s > limit_s:
            waiting = sum(one.end - one.committed for one in self.places.values())
            return f"{waiting} messages wait, and nothing was finished for {self.whole_s:.0f} s"
        for (topic, number), seconds in self.each_s.items():
            if seconds > limit_s:
                place = self.places[topic, number]
                return (
                    f"{topic}/{number} ends at {place.end}, and what is acknowledged has stayed at "
                    f"{place.committed} for {seconds:.0f} s, though nothing of it is at work"
                )
        return None


def follow(last: Stall, look: Look, every_s: float) -> Stall:
    """With one more look, which should have come `every_s` after the last one."""
    if look.excuse:
        return Stall(look.at, look.done)
    passed_s = min(look.at - last.at, 2 * every_s)
    behind = {key: one for key, one in look.places.items() if one.committed < one.end}
    whole_s = last.whole_s + passed_s if behind and look.done == last.done else 0.0
    each_s = {
        key: last.each_s.get(key, 0.0) + passed_s
        for key, one in behind.items()
        if key not in look.busy and not look.full and _stays(last, key, one)
    }
    return Stall(look.at, look.done, whole_s, behind, each_s)


def _stays(last: Stall, key: Partition, now: Place) -> bool:
    before = last.places.get(key)
    return before is not None and before.committed == now.committed
