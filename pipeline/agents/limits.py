"""Sets limits in one region, and says which of them have to wait.

In: the calls of a plan, what the region holds. Out: what it holds afterwards. Called when a plan is carried
out, after all its other calls. One type that is refused does not keep the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.agents.awaited import LimitAwaited
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import NotFound, OverParent, Refused
from pipeline.core.entities import ROOT, Snapshot
from pipeline.core.errors import TemporaryError
from pipeline.core.limits import FIELD_OF, limit_text
from pipeline.core.plan import Call


@dataclass(frozen=True, slots=True)
class LimitsSet:
    """`seen`: what the region holds now; None: it is not known, and to be read."""

    seen: Snapshot | None
    refusals: tuple[Refused, ...] = ()

    def check(self, after: Snapshot) -> None:
        """Raises `LimitAwaited`, else the first refusal; nothing where there is none. `after`: as it was
        read."""
        awaited = [str(one) for one in self.refusals if isinstance(one, OverParent)]
        if awaited:
            words = f"waits for the limits of the domain above: {'; '.join(awaited)}"
            raise LimitAwaited(words, None, after)
        if self.refusals:
            raise self.refusals[0]


async def set_limits(
    client: CloudStack, calls: Sequence[Call], root: str, seen: Snapshot | None
) -> LimitsSet:
    """`seen`: what is there before, None where that is not known. `root`: the root domain's UUID. Raises as
    the client does, but for what CloudStack refuses."""
    refusals: list[Refused] = []
    for call in calls:
        params = {name: root if text == ROOT else text for name, text in call.params.items()}
        try:
            answer = await client.call(call.command, params)
        except NotFound as error:  # renamed or removed since it was read
            raise TemporaryError(str(error)) from error
        except Refused as error:
            refusals.append(error)
            continue
        seen = _with(seen, int(call.params["resourcetype"]), answer)
    return LimitsSet(seen, tuple(refusals))


def _with(seen: Snapshot | None, number: int, answer: Mapping[str, Any]) -> Snapshot | None:
    """The answer as the read-back."""
    told = answer.get("resourcelimit")
    text = limit_text(told.get("max")) if isinstance(told, dict) else None
    if seen is None or seen.fields is None or text is None:
        return None
    return replace(seen, fields={**seen.fields, FIELD_OF[number]: text})
