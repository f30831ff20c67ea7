"""The command `verify`: reads all regions, says equal or shows what differs side by side, and keeps the
proof.

In: options. Out: one sentence, or a table with a column a region; exit code 0 equal, 2 differences, 1 error.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import typer

from pipeline.cli.database import now_ms, opened
from pipeline.cli.options import DEFAULT_CONFIG, DIFFERENT, AsJson, Config
from pipeline.cli.output import moment, print_json, print_table

if TYPE_CHECKING:
    from pipeline.outbox.proofs import Proof
    from pipeline.reconcile.verify import Difference, Verdict
    from pipeline.settings import Settings

ABSENT: Final = "(absent)"


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync verify --json")(verify)


def verify(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Read everything in all regions and say whether they are equal.

    Changes nothing. Exit code 0: equal; 2: differences, which are shown side by side; 1: something could not
    be read.
    """
    from pipeline.settings import load

    settings = load(config)
    with opened(settings) as engine:
        from pipeline.outbox.proofs import keep_proofs

        verdict = asyncio.run(_look(settings))
        proofs = _proofs(verdict, now_ms())
        keep_proofs(engine, proofs)
    if as_json:
        print_json(_as_json(verdict, proofs))
    else:
        _tell(verdict, proofs)
    raise typer.Exit(0 if verdict.equal else DIFFERENT)


async def _look(settings: Settings) -> Verdict:
    from pipeline.cloudstack.client import CloudStack
    from pipeline.cloudstack.resources import Resources
    from pipeline.reach import client_settings
    from pipeline.reconcile.verify import verify as compare

    async with AsyncExitStack() as stack:
        regions = {}
        for region in settings.active:
            client = CloudStack(client_settings(region), clock=now_ms)
            stack.push_async_callback(client.aclose)
            # What one region does not tell of can't be compared.
            all_tell = all(one.sealing_key is not None for one in settings.active)
            policy = settings.key_policy(region) if all_tell else None
            limits = all(one.limits for one in settings.active)
            regions[region.name] = Resources(client, policy, limits=limits, roles=settings.roles)
        await asyncio.gather(*(one.start() for one in regions.values()))
        return await compare(regions)


def _proofs(verdict: Verdict, now: int) -> list[Proof]:
    from pipeline.core.digest import text
    from pipeline.core.entities import Kind
    from pipeline.outbox.proofs import Proof

    return [
        Proof(
            time=now,
            region=name,
            root=text(held.root),
            domains=held.counts[Kind.DOMAIN],
            accounts=held.counts[Kind.ACCOUNT],
            users=held.counts[Kind.USER],
            equal=verdict.equal,
            differences=verdict.differing,
        )
        for name, held in verdict.holdings.items()
    ]


def _tell(verdict: Verdict, proofs: list[Proof]) -> None:
    from pipeline.core.digest import LEFT_OUT

    names = list(verdict.holdings)
    if verdict.equal:
        one = proofs[0]
        count = one.domains + one.accounts + one.users
        print(f"Equal at {moment(one.time)} UTC over {count:,} entities in {', '.join(names)}: {one.root}")
    else:
        rows = [row for one in verdict.differences for row in _side_by_side(one)]
        print_table(("kind", "path", "field", *names), rows)
        more = verdict.differing - len(verdict.differences)
        print(f"{verdict.differing:,} entities differ{f', {more:,} of them not shown' if more else ''}.")
        print(f"Below these domains: {', '.join(verdict.subtrees) or 'none'}")
    print(f"Not compared: {'; '.join(LEFT_OUT)}.")


def _side_by_side(one: Difference) -> list[dict[str, object]]:
    """A row for each field that differs; one row where the entity is missing somewhere."""
    head = {"kind": str(one.kind), "path": one.path}
    held = one.held
    if any(fields is None for fields in held.values()):
        there = {name: ABSENT if fields is None else "present" for name, fields in held.items()}
        return [{**head, "field": "", **there}]
    present = {name: fields for name, fields in held.items() if fields is not None}
    names = dict.fromkeys(name for fields in present.values() for name in fields)
    return [
        {**head, "field": name, **{region: fields.get(name, "") for region, fields in present.items()}}
        for name in names
        if name != "parent" and len({fields.get(name, "") for fields in present.values()}) > 1
    ]


def _as_json(verdict: Verdict, proofs: list[Proof]) -> dict[str, Any]:
    from pipeline.core.digest import LEFT_OUT

    return {
        "equal": verdict.equal,
        "time": moment(proofs[0].time) if proofs else None,
        "regions": {
            one.region: {
                "root": one.root,
                "domains": one.domains,
                "accounts": one.accounts,
                "users": one.users,
            }
            for one in proofs
        },
        "differing": verdict.differing,
        "differences": [
            {
                "kind": str(one.kind),
                "path": one.path,
                "held": {
                    name: None
                    if fields is None
                    else {field: text for field, text in fields.items() if field != "parent"}
                    for name, fields in one.held.items()
                },
            }
            for one in verdict.differences
        ],
        "subtrees": list(verdict.subtrees),
        "not_compared": list(LEFT_OUT),
    }
