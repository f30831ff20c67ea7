"""How a row ends that CloudStack refuses, as a table."""

from __future__ import annotations

import pytest

from pipeline.agents.ending import SLOWEST, TRIES, refused
from pipeline.cloudstack.errors import NameTaken, NotEmpty, Refused
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Desired
from pipeline.outbox.region import Context

NOW = 1_000_000
REMOVAL = Desired("r2", Kind.DOMAIN, "d", 3, None, {"name": "d", "networkdomain": "", "parent": ROOT})


def tried(times: int) -> Context:
    return Context(
        time=NOW,
        outbox_id=1,
        state="published",
        attempts=times,
        tried=times > 0,
        newest=3,
        applied_version=2,
        applied=REMOVAL.known,
        local="d",
        present=True,
        parent=ROOT,
        parent_local=ROOT,
        parent_present=True,
        parent_removed=False,
        parent_name="",
        parent_domain_local=ROOT,
        parents={},
    )


@pytest.mark.parametrize(
    ("error", "times", "state", "waits_ms"),
    [
        (Refused, 0, "dead", None),
        (NameTaken, 0, "pending", 500),
        (NameTaken, TRIES - 1, "pending", 500 * 2 ** (TRIES - 1)),
        (NameTaken, TRIES, "dead", None),
        (NotEmpty, 0, "pending", 500),
        (NotEmpty, TRIES, "pending", 500 * 2**TRIES),
        (NotEmpty, 1_000, "pending", 500 * 2**SLOWEST),
    ],
)
def test_what_may_pass_is_tried_again(
    error: type[Refused], times: int, state: str, waits_ms: int | None
) -> None:
    settlement = refused(REMOVAL, tried(times), error("no", status=530, command="deleteDomain"), NOW)
    due = None if settlement.due_time is None else settlement.due_time - NOW
    assert (settlement.state, due) == (state, waits_ms)
