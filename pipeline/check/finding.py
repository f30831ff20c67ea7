"""What a probe found, and how a probe that blocks is kept within its time.

In: blocking functions. Out: `Finding`s. Used by every probe.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

LIMIT_S: Final = 20.0
"""No probe takes longer."""
CONNECT_S: Final = 8.0
"""How long a neighbour may take to answer at all."""

T = TypeVar("T")


class Verdict(StrEnum):
    """`warn` works, and somebody should look at it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table; `region` is empty for what all regions share."""

    region: str
    what: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Words findings about one thing."""

    region: str
    what: str

    def ok(self, detail: str) -> Finding:
        return Finding(self.region, self.what, Verdict.OK, detail)

    def warn(self, detail: str) -> Finding:
        return Finding(self.region, self.what, Verdict.WARN, detail)

    def fail(self, detail: str) -> Finding:
        return Finding(self.region, self.what, Verdict.FAIL, detail)


async def blocking(work: Callable[[], T]) -> T:
    """`work`'s result, from a thread that nobody waits for at the end: a driver that ignores its own limits
    must not hold the command."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not done.done():
            set_it()

    def body() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            told = error
            _call(loop, lambda: settle(lambda: done.set_exception(told)))
        else:
            _call(loop, lambda: settle(lambda: done.set_result(result)))

    threading.Thread(target=body, name="check", daemon=True).start()
    return await done


def _call(loop: asyncio.AbstractEventLoop, back: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(back)
