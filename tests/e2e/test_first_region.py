"""The README's "First real region in ten minutes", typed as it is written: from two regions that know nothing
of the sync to two that are equal. Only the addresses are others: of simulated regions."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.documents import ROOT, blocks
from tests.e2e import cloudmonkey
from tests.e2e.harness import COMMAND_LIMIT_S, STOP_LIMIT_S, environment, people, until

START_LIMIT_S: Final = 180.0
TRIES: Final = 60
NAMES: Final = ("berlin", "tokyo")
ANEW: Final = "  # and start `region-sync run` anew"
RUNS: Final = '"message": "running: '
DIFFERENT: Final = 2


def written() -> list[tuple[str, ...]]:
    heading = "First real region in ten minutes"
    return [block.lines for block in blocks(ROOT / "README.md") if block.heading == heading]


class Newcomer:
    """Somebody at a shell in the repository's folder. What one line exports, the next one finds."""

    def __init__(self, folder: Path, regions: Sequence[SimulatedRegion]) -> None:
        self.folder, self._regions = folder, regions
        programs, profiles = folder / "bin", folder / "profiles"
        programs.mkdir()
        profiles.mkdir()
        for name, module in (("region-sync", "pipeline"), ("cmk", cloudmonkey.__name__)):
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            (programs / name).chmod(0o755)
        for name, region in zip(NAMES, regions, strict=True):
            keys = region.admin
            cloudmonkey.Profile.write(profiles / name, region.endpoint, keys.apikey, keys.secretkey)
        (folder / "docs").symlink_to(ROOT / "docs")
        path = f"{programs}:{os.environ['PATH']}"
        self._environment = environment() | {"PATH": path, "CMK_PROFILES": str(profiles)}

    async def types(self, text: str) -> tuple[int, str]:
        """The exit code, and what was said."""
        exports = self.folder / "exports.sh"
        exports.touch()
        script = f". {exports}\n{text}\ncode=$?\nexport -p > {exports}\nexit $code"
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        said = f"{text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in said, said
        assert done.returncode in (0, DIFFERENT), said
        return done.returncode, said

    async def does(self, line: str) -> None:
        """It must succeed."""
        code, said = await self.types(line)
        assert code == 0, said

    async def proves(self, line: str) -> None:
        """Again as long as something is on its way."""
        for _ in range(TRIES):
            code, said = await self.types(line)
            if code == 0:
                return
        raise AssertionError(f"not equal after {TRIES} times: {said}")

    async def listens(self, times: int) -> None:
        """Until `region-sync run` runs for the so many-th time."""
        log = self.folder / "run.log"
        await until(lambda: log.read_text().count(RUNS) == times, "it runs", START_LIMIT_S)

    def addressed(self, text: str) -> str:
        """With the real addresses in the place of the example's."""
        for name, region in zip(NAMES, self._regions, strict=True):
            example = f"https://cloud-{name}.example.org"
            assert example in text
            text = text.replace(example, region.endpoint.removesuffix("/client/api"))
        return text

    @contextmanager
    def running(self) -> Iterator[None]:
        """`region-sync run`, in a terminal of its own."""
        command = f". {self.folder}/exports.sh; exec region-sync run"
        with (self.folder / "run.log").open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield
            finally:
                process.terminate()
                try:
                    code = process.wait(STOP_LIMIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
        assert code == 0, (self.folder / "run.log").read_text()[-2000:]


async def test_from_nothing_to_two_equal_regions(tmp_path: Path) -> None:
    _installing, accounts, settings, first, second = written()
    async with simulated_regions(2) as regions, people(regions) as (berlin, tokyo):
        shop = await berlin.domain("shop")
        await berlin.account("acme", shop)
        await tokyo.domain("bank")
        for one in regions:
            one.region.log.rows.clear()  # all that is longer ago than a bridge's first look back
        newcomer = Newcomer(tmp_path, regions)

        await newcomer.does("\n".join(accounts))
        secrets = (tmp_path / "region-sync.env").read_text()
        assert re.findall(r"^(\w+)=\S{40,}$", secrets, re.MULTILINE) == [
            f"{name.upper()}_{key}_KEY" for name in NAMES for key in ("API", "SECRET")
        ]
        assert (tmp_path / "region-sync.env").stat().st_mode & 0o077 == 0, "the keys are its owner's alone"
        before = [one.dump() for one in regions]
        _, said = await newcomer.types(newcomer.addressed("\n".join(settings)))
        assert "logged in as region-sync of account region-sync" in said
        assert "commands are allowed" in said and "fail" not in said

        scanning, joining = first
        with newcomer.running():
            await newcomer.listens(1)
            await newcomer.does(scanning)
            code, said = await newcomer.types(joining)
            assert code == DIFFERENT
            assert "createAccount(account=acme" in said and "also goes to berlin" in said
        assert [one.dump() for one in regions] == before, "nothing is written but what somebody approves"

        activating, taking_in, planning, applying, proving, letting_go = second
        for line in (activating, letting_go):
            assert line.endswith(ANEW)
        await newcomer.types(activating)
        with newcomer.running():
            await newcomer.listens(2)
            await newcomer.does(taking_in)
            assert regions[0].dump() == before[0], "the first has given and taken nothing"
            assert "ROOT/shop|acme|acme" in regions[1].dump()["users"]
            code, said = await newcomer.types(planning)
            assert (code, said.count("createDomain(name=bank")) == (DIFFERENT, 1)
            (name,) = re.findall(r"apply --plan (\w+)$", said, re.MULTILINE)
            await newcomer.does(applying.replace("HASH", name))
            await newcomer.proves(proving)
            assert regions[0].dump() == regions[1].dump()

        await newcomer.types(letting_go)
        with newcomer.running():
            await newcomer.listens(3)
            await tokyo.domain("depot")
            await until(lambda: regions[0].dump() == regions[1].dump(), "it goes everywhere by itself")
            assert "ROOT/depot" in regions[0].dump()["domains"]
