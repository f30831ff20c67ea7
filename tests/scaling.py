"""The tables of docs/scaling.md, from the model itself: `python -m tests.scaling` writes them anew.

In: `pipeline.core.sizing` and the measured costs. Out: the page, with what stands between its marks
replaced. `tests/unit/test_scaling.py` holds the page to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.core import capacity
from pipeline.core.sizing import Ceiling, Load, size
from tests.documents import ROOT

PAGE: Final = ROOT / "docs/scaling.md"
CHANGES: Final = (1, 10, 30, 100, 300)
REGIONS: Final = (3, 10, 50)
LATENCIES_MS: Final = (20, 50, 250)


def tables() -> dict[str, str]:
    """By the word in their marks."""
    return {"sizes": sizes(), "costs": costs(), "limits": limits()}


def sizes() -> str:
    """What to set, by the latency of calls. What one MariaDB does not hold is marked."""
    head = ("changes/s", "regions", "lanes", "workers a region", "hubs", "partitions")
    database = ("rows/s", "database: cores", "log MiB/s", "GiB in 30 days")
    return _table((*head, *database), (_size(c, r) for c in CHANGES for r in REGIONS))


def _size(changes: float, regions: int) -> tuple[str, ...]:
    loads = [Load(changes, regions, latency) for latency in LATENCIES_MS]
    found = [size(load) for load in loads]
    one, beyond = found[0], " ".join(each.what for each in found[0].exhausted(loads[0]))
    return (
        f"{changes}",
        f"{regions}",
        _each(each.lanes for each in found),
        _each(each.workers for each in found),
        f"{one.hubs}",
        _each(each.partitions for each in found),
        f"{one.rows_per_s:,.0f}",
        _marked(f"{one.database_cores:.2f}", "MariaDB with" in beyond),
        _marked(f"{one.log_mib_per_s:,.1f}", "MariaDB whose disk" in beyond),
        f"{one.disk_gib:,.0f}",
    )


def _each(counts: Iterable[int]) -> str:
    """By latency, or once where it makes no difference."""
    said = [f"{count}" for count in counts]
    return said[0] if len(set(said)) == 1 else " / ".join(said)


def _marked(text: str, too_much: bool) -> str:
    return f"**{text}**" if too_much else text


def limits() -> str:
    """What is exhausted at how many changes a second."""
    found = {regions: size(Load(1, regions, LATENCIES_MS[0])).ceilings for regions in REGIONS}
    rows = [
        (what, *(f"{_at(found[regions], what):,.0f}" for regions in REGIONS))
        for what in (one.what for one in found[REGIONS[0]])
    ]
    return _table(("exhausted, with changes/s in", *(f"{regions} regions" for regions in REGIONS)), rows)


def _at(ceilings: Iterable[Ceiling], what: str) -> float:
    (found,) = (one.changes_per_s for one in ceilings if one.what == what)
    return found


def costs() -> str:
    """What was measured, as the model has it."""
    rows = [
        (
            f"hub, {one.regions:g} regions: {what}",
            f"{hub_us:,.0f}",
            f"{database_us:,.0f}",
            f"{log:,.0f}",
        )
        for one in capacity.HUB
        for what, hub_us, database_us, log in (
            ("a change", one.change_us, one.database_change_us, one.change_log),
            ("a result", one.result_us, one.database_result_us, one.result_log),
        )
    ]
    applied = (capacity.WORKER_APPLIED_US, capacity.DATABASE_APPLIED_US, capacity.APPLIED_LOG)
    rows.append(("region's worker: a desired state, read and written", *(f"{one:,}" for one in applied)))
    rows.append(("region's worker: the event of its own write", f"{capacity.WORKER_ECHO_US:,}", "0", "0"))
    return _table(("unit", "CPU µs", "CPU µs of MariaDB", "bytes of its log"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: str) -> str:
    """The page with its tables as they should be."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: python -m tests.scaling -->", f"<!-- {name} end -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{PAGE.name} has no marks for {name}")
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
