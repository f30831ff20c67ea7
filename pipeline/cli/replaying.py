"""The command `replay`: applies to one region again what the records say of entities that were touched.

In: options. Out: a progress bar on a terminal, then what came of it; exit code 0 all as it should be, 2
something is left to a person, 1 something failed or did not come to its end. It needs the database, and Kafka
where it is given an offset: no region's secret.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.asking import parse_since
from pipeline.cli.database import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.options import DEFAULT_CONFIG, DIFFERENT, FAILED, AsJson, Config, ThisRegion
from pipeline.cli.output import moment, print_json, progress_bar
from pipeline.cli.person import by

if TYPE_CHECKING:
    from pipeline.core.replay import Touched
    from pipeline.outbox.replays import Replay, ReplayStore
    from pipeline.reconcile.replaying import Ended, Replayed
    from pipeline.settings import Region, Settings

SHOWN: Final = 100
"""Entities that are named; `--json` has all."""
_OFFSET: Final = re.compile(r"\d{1,18}")
_OFFSETS: Final = re.compile(r"\d{1,6}:\d{1,18}(,\d{1,6}:\d{1,18})*")


@dataclass(frozen=True, slots=True)
class Start:
    """From where a replay begins: a time (ms), or offsets (of every partition, or of some)."""

    said: str
    since: int | None
    offsets: int | Mapping[int, int] = 0


def add_to(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command(epilog="Example: region-sync replay --region berlin --from beginning --dry-run")(replay)


def replay(
    region: ThisRegion,
    since: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TIME|OFFSET",
            help="Entities that were changed, or sent to the region, since then: a time (2026-11-23T08:00, "
            "UTC if it names no zone), a span back from now (30min, 2h, 3d), an offset of the region's topic "
            "of desired states (4711, or PARTITION:OFFSET,...), or beginning: all.",
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many entities, and how many calls at most.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Apply to one region again what is agreed on every entity that was touched since.

    Parents first, a few at a time, behind everything else that waits for the region. What is right there
    costs one read and no call; what the region has lost is made again. Cut off, it goes on where it was when
    the same is said within a day. Exit code 0: all is as it should be; 2: something is left to a person; 1:
    something failed, or did not come to its end.
    """
    from pipeline.settings import HUB, load

    start = parse_start(since, now_ms())
    _check_ready((settings := load(config, HUB)).region(region))
    with opened(settings) as engine:
        from pipeline.outbox.replays import ReplayStore

        store = ReplayStore(engine, region, now_ms)
        found = store.find(start.said, start.since or 0)
        touched, above = _touched(settings, store, start, found)
        if dry_run:
            return _tell_plan(region, found, _left(store, found, touched), as_json)
        came = _carry_out(store, start, (touched, above), as_json)
    _tell(region, came, as_json)
    raise typer.Exit(code_of(came))


def parse_start(text: str, now: int) -> Start:
    """Raises `typer.BadParameter`. Digits alone are an offset, though some of them could be a date."""
    if _OFFSET.fullmatch(text):
        return Start(text, None, int(text))
    if _OFFSETS.fullmatch(text):
        places = [place.partition(":") for place in text.split(",")]
        return Start(text, None, {int(number): int(offset) for number, _, offset in places})
    return Start(text, parse_since(text, now))


def _carry_out(
    store: ReplayStore, start: Start, found: tuple[Sequence[Touched], Mapping[str, str]], as_json: bool
) -> Replayed:
    """From now on it is begun, or goes on."""
    begun = store.begin(start.said, start.since or 0, by(f"--from {start.said}"))
    if begun.resumed and not as_json:
        print(f"{store.region}: goes on with the replay of {moment(begun.began)}.")
    return asyncio.run(_run(store, begun, *found))


async def _run(
    store: ReplayStore, begun: Replay, touched: Sequence[Touched], above: Mapping[str, str]
) -> Replayed:
    from pipeline.reconcile.replaying import Replayer

    with progress_bar(store.region) as told:
        return await Replayer(store).run(begun, touched, above, told)


def _check_ready(region: Region) -> None:
    """Raises `CommandError` where nobody would apply anything."""
    if not region.active:
        raise CommandError(f"region {region.name} is not active: set active: true and start its worker first")
    if region.mode.value == "paused":
        raise CommandError(f"region {region.name} is paused: its worker makes no call")


def _touched(
    settings: Settings, store: ReplayStore, start: Start, found: Replay
) -> tuple[list[Touched], dict[str, str]]:
    if start.since is not None:
        return store.touched(found.since)
    from pipeline.broker import brokers
    from pipeline.core import topics
    from pipeline.reconcile.bus import TopicReader
    from pipeline.reconcile.sent import sent_since

    names = (topics.desired(store.region), topics.revoke(store.region))
    where, options = brokers(settings), settings.kafka_options
    with ExitStack() as readers:
        sent, revoked = (readers.enter_context(closing(TopicReader(where, options, name))) for name in names)
        return store.touched(None, sent_since(sent, revoked, start.offsets))


def _left(store: ReplayStore, found: Replay, touched: Sequence[Touched]) -> list[Touched]:
    done = store.done(found)
    return [one for one in touched if one.uuid not in done]


def _tell_plan(region: str, found: Replay, left: Sequence[Touched], as_json: bool) -> None:
    """What it would take."""
    from pipeline.core.replay import most_calls

    kinds = Counter(one.kind.value for one in left)
    removed = sum(not one.present for one in left)
    calls = sum(most_calls(one.kind, present=one.present) for one in left)
    if as_json:
        said = {"entities": len(left), "removed": removed, "calls_at_most": calls}
        print_json({"region": region, "resumed": found.resumed, "kinds": dict(kinds), **said})
        return
    each = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items()) or "none"
    print(f"{region}: {len(left):,} entities would be applied again ({each}; {removed:,} of them removed).")
    print(f"One read each, and at most {calls:,} calls that change something; none where all is right.")
    if found.resumed:
        print(f"It goes on with the replay of {moment(found.began)}.")


def _tell(region: str, came: Replayed, as_json: bool) -> None:
    """What came of it."""
    if as_json:
        said = {"done": came.done, "before": came.before, "waiting": came.waiting}
        ends = {"left_out": came.left_out, "failed": came.failed}
        print_json({"region": region, **said, **{k: [_named(one) for one in v] for k, v in ends.items()}})
        return
    for word, ends_of in (("left out", came.left_out), ("not done", came.failed)):
        for one in ends_of[:SHOWN]:
            print(f"{word}: {one.entity.kind} {one.entity.uuid}: {one.words}")
        if len(ends_of) > SHOWN:
            print(f"... and {len(ends_of) - SHOWN} more: --json has all of them")
    before = f" ({came.before:,} more were before)" if came.before else ""
    print(
        f"{region}: {came.done:,} applied again{before}, {len(came.left_out):,} left out, "
        f"{len(came.failed):,} not done."
    )
    if came.waiting:
        print(
            f"{came.waiting:,} are not at their end, and nothing moves: is the worker of {region} running, "
            "and the hub? Say the same again, and it goes on."
        )


def code_of(came: Replayed) -> int:
    """The exit code."""
    if came.failed or came.waiting:
        return FAILED
    return DIFFERENT if came.left_out else 0


def _named(one: Ended) -> dict[str, Any]:
    return {"kind": one.entity.kind.value, "uuid": one.entity.uuid, "message": one.words}
