"""An event loop whose time is virtual, and which runs threads' work in place: nothing is waited for, and
every run of the same program is the same.

When nothing is ready, its clock jumps to the next timer. When there is no timer either, nothing will ever
happen again, and it says so. No sockets: whatever is talked to lives in this process.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class Stuck(AssertionError):
    """Everything waits for something that nobody will do."""


class _Jumping(selectors.SelectSelector):
    """Never waits; says how long it would have."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nothing is ready, and no timer is set")
        if timeout > 0:
            self._jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` counts virtual seconds from 0."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self._jump))
        self._virtual_s = 0.0
        self._clock_resolution = 1e-6  # sums of floats miss a timer by less than this

    def time(self) -> float:
        return self._virtual_s

    def run_in_executor(self, executor: Executor | None, func: Any, *args: Any) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _jump(self, seconds: float) -> None:
        self._virtual_s += seconds
