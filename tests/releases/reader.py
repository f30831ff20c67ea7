"""What a release reads in messages: run on the code of either one (`kept.asking`), and imported for this one.

In: the kind of message and its bytes, as text. Out: its value, each dataclass as its name and its fields; or
why it can't be read. A line of JSON each. Nothing here may need what only one of the two has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pipeline import wire
from pipeline.core.events import Unreadable, changes_nothing, parse_event
from pipeline.core.soundness import flaw

READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "event": parse_event,
    "observation": wire.observation,
    "desired": wire.desired,
    "record": wire.record,
    "fields": lambda data: wire.fields(data.decode()),
    "told": wire.told,
}
ENCODED: Final = frozenset({"observation", "desired", "record"})


def read(what: str, text: str) -> dict[str, Any]:
    """`value`, or `unreadable` with the reason; `flaw`: why it is a dead letter all the same; `again`: as the
    release says it itself."""
    try:
        value = READERS[what](text.encode("utf-8", "surrogateescape"))
    except (wire.Unreadable, Unreadable) as error:
        return {"unreadable": str(error)}
    answer = {"value": plain(value)}
    if what in ("observation", "desired"):
        answer["flaw"] = flaw(value)
    if what in ENCODED:
        answer["again"] = wire.encode(value).decode("utf-8", "surrogateescape")
    if what == "event":
        answer["changes_nothing"] = changes_nothing(value)
    return answer


def plain(value: Any) -> Any:
    if is_dataclass(value):
        told = {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        return {"is": type(value).__name__, **told}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(read(*json.loads(line))), flush=True)
