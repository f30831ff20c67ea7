"""Every verb of every kind once, on the embedded default: after each the regions are equal, and an update
has cost each target one write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import SYNC, Person, people, rows, settled, tree

UUIDS = dict[str, str]
Verb = Callable[[Person, UUIDS], Awaitable[Any]]


def call(command: str, entity: str, **params: str) -> Verb:
    """A call for the entity that was made under this name; `@name` in a value is that entity's UUID."""

    async def verb(person: Person, made: UUIDS) -> None:
        key = "domainid" if command == "moveDomain" else "id"
        given = {name: made[value[1:]] if value.startswith("@") else value for name, value in params.items()}
        await person.call(command, **{key: made[entity]}, **given)

    return verb


def domain(name: str, parent: str | None = None) -> Verb:
    async def verb(person: Person, made: UUIDS) -> None:
        made[name] = await person.domain(name, made[parent] if parent else None)

    return verb


def account(name: str, domain: str) -> Verb:
    async def verb(person: Person, made: UUIDS) -> None:
        made[name] = await person.account(name, made[domain])

    return verb


def user(name: str, account: str, domain: str) -> Verb:
    async def verb(person: Person, made: UUIDS) -> None:
        made[name] = await person.user(name, account, made[domain])

    return verb


async def give_role(person: Person, made: UUIDS) -> None:
    await person.call("updateAccount", id=made["acme"], roleid=await person.role("Domain Admin"))


# A verb, its words, and how many writes it costs each target; None where that is not fixed.
VERBS: Sequence[tuple[str, Verb, int | None]] = (
    ("domain create", domain("north"), 1),
    ("domain create below", domain("leaf", "north"), 1),
    ("domain create another", domain("south"), 1),
    ("domain rename", call("updateDomain", "leaf", name="twig"), 1),
    ("domain networkdomain", call("updateDomain", "leaf", networkdomain="twig.example.org"), 1),
    ("domain networkdomain cleared", call("updateDomain", "leaf", networkdomain=""), 1),
    ("domain move", call("moveDomain", "leaf", parentdomainid="@south"), 1),
    ("account create", account("acme", "north"), 1),
    ("account create another", account("other", "north"), 1),
    ("account rename", call("updateAccount", "acme", newname="acme2", domainid="@north"), 1),
    ("account networkdomain", call("updateAccount", "acme", networkdomain="acme.example.org"), 1),
    ("account role", give_role, 1),
    ("account disable", call("disableAccount", "acme", lock="false"), 1),
    ("account enable", call("enableAccount", "acme"), 1),
    ("account lock", call("disableAccount", "acme", lock="true"), 1),
    ("account unlock", call("enableAccount", "acme"), 1),
    ("user create", user("alice", "acme2", "north"), 1),
    ("user rename", call("updateUser", "alice", username="alicia"), 1),
    ("user email", call("updateUser", "alice", email="alicia@example.org"), 1),
    ("user names", call("updateUser", "alice", firstname="Alicia", lastname="Li"), 1),
    ("user timezone", call("updateUser", "alice", timezone="Europe/Berlin"), 1),
    ("user disable", call("disableUser", "alice"), 1),
    ("user enable", call("enableUser", "alice"), 1),
    ("user lock", call("lockUser", "alice"), 1),
    ("user unlock", call("enableUser", "alice"), 1),
    ("user move", call("moveUser", "alice", accountid="@other"), 1),
    ("user delete", call("deleteUser", "alice"), 1),
    ("account delete", call("deleteAccount", "acme"), None),
    ("domain delete leaf", call("deleteDomain", "leaf"), 1),
    ("domain delete subtree", call("deleteDomain", "north", cleanup="true"), None),
)


def writes(regions: Sequence[SimulatedRegion]) -> list[int]:
    return [region.region.calls.writes(SYNC) for region in regions]


ORIGIN = 1


async def test_every_verb_reaches_the_other_regions(tmp_path: Path) -> None:
    async with simulated_regions(3) as regions, people(regions) as workers:
        settings = Settings.parse(tree(regions, f"sqlite:///{tmp_path}/verbs.db"), {})
        async with pipeline(settings) as running:
            engine = running.wiring.engine
            made: UUIDS = {}
            wrong = []
            for words, verb, cost in VERBS:
                before, was = writes(regions), regions[ORIGIN].dump()
                await verb(workers[ORIGIN], made)
                now = regions[ORIGIN].dump()
                assert now != was, f"{words} changed nothing"
                states = await settled(regions, engine)
                assert regions[ORIGIN].dump() == now, f"{words} was undone in its own region"
                assert not states["dead"], (words, rows(engine, "dead"))
                spent = [after - earlier for after, earlier in zip(writes(regions), before, strict=True)]
                expected = [0 if index == ORIGIN else cost for index in range(len(regions))]
                if cost is not None and spent != expected:
                    wrong.append((words, spent, expected))
            assert wrong == []
            assert not running.broken
