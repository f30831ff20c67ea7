"""The README's "First real region in ten minutes", typed as it is written: from two regions that know nothing
of the sync to two that are equal. Only the addresses are others: of simulated regions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.documents import ROOT, blocks
from tests.e2e import cloudmonkey
from tests.e2e.harness import STOP_LIMIT_S, people, until
from tests.e2e.shell import DIFFERENT, Shell

START_LIMIT_S: Final = 180.0
NAMES: Final = ("berlin", "tokyo")
ANEW: Final = "  # and `region-sync run` again"
RUNS: Final = '"message": "running: '


def written() -> list[tuple[str, ...]]:
    heading = "First real region in ten minutes"
    return [block.lines for block in blocks(ROOT / "README.md") if block.heading == heading]


class Newcomer:
    """Somebody at a shell in the repository's folder."""

    def __init__(self, folder: Path, regions: Sequence[SimulatedRegion]) -> None:
        self._regions = regions
        profiles = folder / "profiles"
        profiles.mkdir()
        for name, region in zip(NAMES, regions, strict=True):
            keys = region.admin
            cloudmonkey.Profile.write(profiles / name, region.endpoint, keys.apikey, keys.secretkey)
        (folder / "docs").symlink_to(ROOT / "docs")
        programs = {"region-sync": "pipeline", "cmk": cloudmonkey.__name__}
        self.shell = Shell(folder, programs, CMK_PROFILES=str(profiles))
        self._log = folder / "run.log"

    def addressed(self, text: str) -> str:
        """With the real addresses in the place of the example's."""
        for name, region in zip(NAMES, self._regions, strict=True):
            example = f"https://cloud-{name}.example.org"
            assert example in text
            text = text.replace(example, region.endpoint.removesuffix("/client/api"))
        return text

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """`region-sync run`, which has begun."""
        begun = self._log.read_text().count(RUNS) if self._log.exists() else 0
        process = self.shell.behind("region-sync run", self._log)
        try:
            await until(lambda: self._log.read_text().count(RUNS) > begun, "it runs", START_LIMIT_S)
            yield
        finally:
            process.terminate()
            try:
                code = process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        assert code == 0, self._log.read_text()[-2000:]


async def test_from_nothing_to_two_equal_regions(tmp_path: Path) -> None:
    _installing, accounts, settings, first, second = written()
    async with simulated_regions(2) as regions, people(regions) as (berlin, tokyo):
        shop = await berlin.domain("shop")
        await berlin.account("acme", shop)
        await tokyo.domain("bank")
        for one in regions:
            one.region.log.rows.clear()  # all that is longer ago than a bridge's first look back
        newcomer = Newcomer(tmp_path, regions)
        shell = newcomer.shell

        await shell.does("\n".join(accounts))
        secrets = (tmp_path / "region-sync.env").read_text()
        assert re.findall(r"^(\w+)=\S{40,}$", secrets, re.MULTILINE) == [
            f"{name.upper()}_{key}_KEY" for name in NAMES for key in ("API", "SECRET")
        ]
        assert (tmp_path / "region-sync.env").stat().st_mode & 0o077 == 0, "the keys are its owner's alone"
        before = [one.dump() for one in regions]
        _, said = await shell.types(newcomer.addressed("\n".join(settings)))
        assert "logged in as region-sync of account region-sync" in said
        assert "commands are allowed" in said and "fail" not in said

        scanning, knowing, joining = first
        async with newcomer.running():
            await shell.does(scanning)
            await shell.until_equal(knowing)
            code, said = await shell.types(joining)
            assert code == DIFFERENT
            assert "createAccount(account=acme" in said and "also goes to berlin" in said
        assert [one.dump() for one in regions] == before, "nothing is written but what somebody approves"

        activating, taking_in, planning, applying, proving, letting_go = second
        for line in (activating, letting_go):
            assert line.endswith(ANEW)
        await shell.types(activating)
        async with newcomer.running():
            await shell.does(taking_in)
            assert regions[0].dump() == before[0], "the first has given and taken nothing"
            assert "ROOT/shop|acme|acme" in regions[1].dump()["users"]
            code, said = await shell.types(planning)
            assert (code, said.count("createDomain(name=bank")) == (DIFFERENT, 1)
            (name,) = re.findall(r"apply --plan (\w+)$", said, re.MULTILINE)
            await shell.does(applying.replace("HASH", name))
            await shell.until_equal(proving)
            assert regions[0].dump() == regions[1].dump()

        await shell.types(letting_go)
        async with newcomer.running():
            await tokyo.domain("depot")
            await until(lambda: regions[0].dump() == regions[1].dump(), "it goes everywhere by itself")
            assert "ROOT/depot" in regions[0].dump()["domains"]
