"""The pipeline's processes as a supervisor keeps them: one that ends is started again, a little later.

In: names and their command lines. Out: real processes of `region-sync`, to be killed, frozen and asked to
stop by name. Called by the chaos run.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tests.e2e.harness import environment

RESTART_S: Final = 1.0
"""What ended by itself waits for so long, as under any supervisor."""
LOOK_EVERY_S: Final = 0.1
STOP_LIMIT_S: Final = 40.0
LOG_SHOWN: Final = 1_500


@dataclass
class _One:
    command: Sequence[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    due: float = 0.0


class Supervisor:
    """Starts nothing by itself: `start` does, and `watch` keeps it up."""

    def __init__(self, folder: Path, commands: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._all = {
            name: _One(command, (folder / f"{name}.log").open("ab")) for name, command in commands.items()
        }
        self.ended: Counter[str] = Counter()
        """Name and exit code of each that ended without having been asked or killed."""

    @property
    def running(self) -> list[str]:
        return [name for name, one in self._all.items() if one.process and one.process.poll() is None]

    def start(self, name: str) -> None:
        """No harm when it runs already."""
        one = self._all[name]
        one.wanted = True
        if one.process is None or one.process.poll() is not None:
            command = [sys.executable, "-m", "pipeline", *one.command]
            one.process = subprocess.Popen(
                command, stdout=one.log, stderr=subprocess.STDOUT, cwd=self._folder, env=environment()
            )

    def kill(self, names: Sequence[str]) -> None:
        """By SIGKILL, all at the same moment; they stay down until `start`. A frozen one dies too."""
        for name in names:
            self._all[name].wanted = False
        for name in names:
            with contextlib.suppress(ProcessLookupError):
                self._known(name).kill()
        for name in names:
            self._known(name).wait(STOP_LIMIT_S)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """By SIGSTOP, then SIGCONT: it knows nothing of the time between."""
        process = self._known(name)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def leave(self, name: str) -> None:
        """Asks it to stop and waits until it has; by force when it takes too long."""
        one = self._all[name]
        one.wanted = False
        process = self._known(name)
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.ended[f"{name}: did not stop"] += 1
            process.kill()
            process.wait()

    async def watch(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            for name, one in self._all.items():
                if not one.wanted or one.process is None or one.process.poll() is None:
                    continue
                if not one.due:
                    self.ended[f"{name}: exit code {one.process.returncode}"] += 1
                    one.due = loop.time() + RESTART_S
                elif loop.time() >= one.due:
                    one.due = 0.0
                    self.start(name)
            await asyncio.sleep(LOOK_EVERY_S)

    async def stop(self) -> None:
        """All at once."""
        await asyncio.gather(*(self.leave(name) for name in self.running))
        for one in self._all.values():
            one.log.close()

    def log_ends(self) -> str:
        """The last words of each."""
        files = sorted(self._folder.glob("*.log"))
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-LOG_SHOWN:]}" for file in files
        )

    def _known(self, name: str) -> subprocess.Popen[bytes]:
        process = self._all[name].process
        assert process is not None, f"{name} was never started"
        return process
