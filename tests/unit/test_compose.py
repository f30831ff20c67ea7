"""What docker-compose.yml starts fits the program: its commands, its settings, the sandbox's keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from pipeline.cli.program import build
from pipeline.config.roles import HUB, Role
from pipeline.sandbox.region import Region
from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    found: dict[str, Any] = composed["services"]
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    """The environment that compose gives when nobody says otherwise."""
    return {name: DEFAULT.sub(r"\1", str(text)) for name, text in service.get("environment", {}).items()}


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in services.items() if one.get("image") == "region-sync:local"}


def test_there_is_a_process_of_each_kind_for_every_region(services: dict[str, Any]) -> None:
    regions = yaml.safe_load((ROOT / "docker/regions.yaml").read_text())["regions"]
    expected = {"sandbox", "hub"}
    expected |= {f"{kind}-{region['name']}" for kind in ("bridge", "worker") for region in regions}
    assert set(ours(services)) == expected


def test_every_command_is_one_that_the_program_knows(services: dict[str, Any]) -> None:
    for name, service in ours(services).items():
        command: Any = get_command(build())
        words = [str(word) for word in service["command"]]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        asked = {word for word in words if word.startswith("-")}
        assert asked <= options, name


def test_each_process_is_given_the_secrets_that_it_needs_and_no_others(services: dict[str, Any]) -> None:
    path = ROOT / "docker/regions.yaml"
    for name, service in ours(services).items():
        kind, _, region = name.partition("-")
        if kind == "sandbox":
            continue
        role = HUB if kind == "hub" else Role("worker" if kind == "worker" else "bridge", region)
        given = environment(service)
        Settings.load(path, given, role)
        others = [key for key in given if key.startswith("R") and not key.startswith(region.upper())]
        assert others == [], name


def test_the_keys_are_the_sandbox_s_own(services: dict[str, Any]) -> None:
    for name in ("r1", "r2", "r3"):
        given = environment(services[f"worker-{name}"])
        key = Region(name, 1, lambda: 0).service
        assert (given[f"{name.upper()}_API_KEY"], given[f"{name.upper()}_SECRET_KEY"]) == (
            key.apikey,
            key.secretkey,
        )
