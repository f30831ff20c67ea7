"""Asynchronous jobs: a command that answers at once with a jobid and takes effect a moment later.

Comes in: work from the command modules. Goes out: what queryAsyncJobResult shows. The work runs on the
event loop after the answer; `delay_s` puts it further off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.sandbox.errors import ApiError
from pipeline.sandbox.state import Account, User

RUNNING, DONE, FAILED = 0, 1, 2
Result = dict[str, object]


@dataclass(eq=False, slots=True)
class Job:
    """One job. `instance_type` and `instance_id` are what it is about, where CloudStack says so."""

    uuid: str
    command: str
    user: User
    account: Account
    created_ms: int
    instance_type: str | None = None
    instance_id: str | None = None
    status: int = RUNNING
    result_code: int = 0
    result: Result | None = None
    completed_ms: int | None = None


@dataclass
class Jobs:
    """All jobs of a region, by UUID."""

    clock: Callable[[], int]
    by_uuid: dict[str, Job] = field(default_factory=dict)
    waiting: set[asyncio.TimerHandle] = field(default_factory=set)

    def start(self, job: Job, work: Callable[[], Result], delay_s: float = 0.0) -> None:
        """Registers the job and runs it after the delay; without a running loop, at once."""
        self.by_uuid[job.uuid] = job
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._run(job, work)
            return
        handle: asyncio.TimerHandle

        def due() -> None:
            self.waiting.discard(handle)
            self._run(job, work)

        handle = loop.call_later(delay_s, due)
        self.waiting.add(handle)

    def _run(self, job: Job, work: Callable[[], Result]) -> None:
        try:
            job.result = work()
            job.status = DONE
        except ApiError as error:
            job.status = FAILED
            job.result_code = error.code
            job.result = {"errorcode": error.code, "errortext": error.text}
        job.completed_ms = self.clock()

    def stop(self) -> None:
        """Drops what has not run yet."""
        for handle in self.waiting:
            handle.cancel()
        self.waiting.clear()
