"""The chaos run's report, as a table for people.

In: a report. Out: text. Called by `python -m tests.faults`, and by the test when the promise was broken.
"""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from tests.faults.run import Report

WIDTH = 150
SHOWN = 40
"""Broken laws that are told one by one."""


def text(report: Report) -> str:
    """Table, then what is wrong, entity by entity."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, markup=False)
    console.print(_table(report))
    for title, lines in _wrong(report):
        console.print(f"{title}: {len(lines)}")
        for line in lines[:SHOWN]:
            console.print(f"  {line}")
    return out.getvalue()


def _table(report: Report) -> Table:
    table = Table("what", "how many", title=f"seed {report.options.seed}: {_verdict(report)}")
    table.columns[1].justify = "right"
    for label, count in sorted(report.faults.items()):
        table.add_row(label, str(count))
    table.add_section()
    table.add_row("faults injected", str(sum(report.faults.values())))
    table.add_row(
        "processes that ended by themselves and were started again", str(sum(report.ended.values()))
    )
    table.add_section()
    books = report.books
    rows = {
        "changes made (and refused by CloudStack)": f"{report.changes} ({report.refused})",
        "desired states sent": books.sent,
        "  of these delivered": books.states["delivered"],
        "  superseded by a newer one": books.states["superseded"],
        "  refused by CloudStack, and replaced since": books.states["dead"] - len(books.unexplained),
        "duplicates: desired states that were sent again": books.resent,
        "  delivered more than once": books.twice,
        "changes that lost against others, all in the ledger": report.breaches.ledger,
        "dead letters": books.letters,
        "lost": len(report.breaches.lost),
        "brought back": len(report.breaches.back),
        "seconds of faults": round(report.storm_s),
        "seconds until all regions were equal": round(report.converged_s, 1)
        if not report.unrest
        else "never",
    }
    for label, value in rows.items():
        table.add_row(label, str(value))
    return table


def _verdict(report: Report) -> str:
    return "the promise was kept" if report.kept else "THE PROMISE WAS BROKEN"


def _wrong(report: Report) -> list[tuple[str, list[str]]]:
    found = [
        ("lost", report.breaches.lost),
        ("brought back", report.breaches.back),
        ("dead rows that nothing explains", report.books.unexplained),
        ("not at rest", [report.unrest] if report.unrest else []),
        ("refusals", [f"{count} x {reason}" for reason, count in report.books.reasons.most_common()]),
        ("ended by themselves", [f"{count} x {words}" for words, count in report.ended.most_common()]),
    ]
    return [(title, lines) for title, lines in found if lines]
