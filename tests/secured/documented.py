"""Reads docs/least-privilege.md and docs/grants: what is written there is what the tests carry out."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

DOCS = Path(__file__).parents[2] / "docs"
LEAST = DOCS / "least-privilege.md"


def lines(start: str) -> list[str]:
    """Those that begin with a command."""
    found = [line for line in LEAST.read_text().splitlines() if line.startswith(start)]
    assert found, start
    return found


def for_regions(commands: Sequence[str], regions: Sequence[str]) -> Iterator[str]:
    for command in commands:
        yield from (
            (command.replace("REGION", name) for name in regions) if "REGION" in command else (command,)
        )


def acls(regions: Sequence[str]) -> list[AclBinding]:
    """What the kafka-acls commands would make."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", required=True)
    parser.add_argument("--resource-pattern-type", default="literal")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--topic")
    place.add_argument("--group")
    bindings = []
    for command in for_regions(lines("kafka-acls.sh"), regions):
        given = parser.parse_args(shlex.split(command)[1:])
        bindings += [
            AclBinding(
                ResourceType.TOPIC if given.topic else ResourceType.GROUP,
                given.topic or given.group,
                ResourcePatternType[given.resource_pattern_type.upper()],
                given.allow_principal,
                "*",
                AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
                AclPermissionType.ALLOW,
            )
            for operation in given.operation
        ]
    return bindings


def bus_permissions(region: str, exchange: str) -> dict[str, tuple[str, str, str]]:
    """User → what it may configure, write, read."""
    (command,) = lines("rabbitmqctl set_permissions")
    words = shlex.split(command.replace("REGION", region).replace("cloudstack-events", exchange))
    return {words[2]: (words[3], words[4], words[5])}


def role_rules() -> list[tuple[str, str]]:
    """(allow or deny, command) in their order."""
    pattern = re.compile(r"permission=(\w+) rule=(\S+)")
    return [found.groups() for line in lines("create rolepermission") if (found := pattern.search(line))]  # type: ignore[misc]


def grants(file: str, password: str) -> list[str]:
    """The statements of that file."""
    text = (DOCS / "grants" / file).read_text()
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert "'" not in password
    return [one.strip().replace("'…'", f"'{password}'") for one in bare.split(";") if one.strip()]
