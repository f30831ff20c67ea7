"""One simulated region in a process of its own, filled before it serves.

In: a name, domains, accounts, users, milliseconds a call. Out: a JSON line as `region-sync sandbox`
prints it. Started by the benchmarks whose subject must not share its CPU with the region.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sandbox.launch import SandboxOptions, sandbox
from tests.benchmarks.stage import Place, Process, process, until

SYNC = "svc-sync"


@dataclass(frozen=True, slots=True)
class Simulated:
    """A region that runs elsewhere."""

    place: Place
    running: Process

    def calls(self) -> dict[str, int]:
        """The sync's own calls by command."""
        found: dict[str, int] = self._ask("calls")["accounts"].get(SYNC, {})
        return found

    def writes(self) -> int:
        return sum(
            n for command, n in self.calls().items() if not command.startswith(("list", "get", "query"))
        )

    def fail(self, ratio: float) -> None:
        """This share of calls is answered by 503 from now on."""
        self._ask("faults", json.dumps({"error_ratio": ratio}).encode())

    def _ask(self, what: str, body: bytes | None = None) -> dict[str, Any]:
        url = self.place.endpoint.replace("/client/api", f"/sandbox/{what}")
        asked = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def region(
    name: str, users: int, latency_ms: int, lanes: int, above: tuple[int, int] = (5, 20)
) -> Iterator[Simulated]:
    """Running, with so many users in so many domains and accounts (`above`)."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-m", "tests.benchmarks.simulated", name, *map(str, above), str(users), str(latency_ms)]
        with process(Path(folder), arguments) as running:
            until(lambda: running.log.read_text().endswith("\n"), 60, running)
            told = json.loads(running.log.read_text())["regions"][0]
            keys = told["service"]
            place = Place(name, told["endpoint"], keys["apikey"], keys["secretkey"], lanes)
            yield Simulated(place, running)


async def serve(name: str, sizes: list[int], latency_ms: str) -> None:
    async with sandbox(SandboxOptions(regions=1, latency=latency_ms, names=(name,))) as regions:
        regions[0].region.rng.seed("the same UUIDs everywhere")
        regions[0].load(*sizes)
        print(json.dumps({"regions": [one.describe() for one in regions]}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], [int(word) for word in sys.argv[2:5]], sys.argv[5]))
