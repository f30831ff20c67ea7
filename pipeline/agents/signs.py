"""Signs of life of the jobs in a worker's lanes: which has given none for longest.

In: a job's begin and end, each of its API calls as it ended. Out: the entity whose job has been silent for
longest, and for how long. Held by the region worker; looked at by `agents/watchdog` and the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Job:
    name: str
    last_s: float
    waits: bool = False


class Signs:
    """One worker's. Not thread-safe: it lives in the event loop."""

    def __init__(self) -> None:
        self._jobs: dict[int, _Job] = {}
        self._job: ContextVar[_Job | None] = ContextVar("job", default=None)
        self._awake_s = 0.0
        self.given = 0

    def passed(self, seconds: float) -> None:
        """So much time has gone, in which the process was awake."""
        self._awake_s += seconds

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """A job, from its begin to its end."""
        job = _Job(name, self._awake_s)
        self._jobs[id(job)] = job
        token = self._job.set(job)
        try:
            yield
        finally:
            self._job.reset(token)
            del self._jobs[id(job)]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The job waits for another one, which gives signs of its own."""
        job = self._job.get()
        if job is None:
            yield
            return
        job.waits = True
        try:
            yield
        finally:
            job.waits, job.last_s = False, self._awake_s

    def give(self) -> None:
        """A call of this job has ended, one way or the other. What is called outside of jobs is no sign."""
        job = self._job.get()
        if job is not None:
            job.last_s = self._awake_s
            self.given += 1

    def silent(self) -> tuple[str, float]:
        """The name of the job that has given none for longest, and for how many seconds."""
        working = [job for job in self._jobs.values() if not job.waits]
        oldest = min(working, key=lambda job: job.last_s, default=None)
        return ("", 0.0) if oldest is None else (oldest.name, self._awake_s - oldest.last_s)
