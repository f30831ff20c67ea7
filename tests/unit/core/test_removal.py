"""Which removals are carried out, held or quarantined: a table, and what no input can change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import Kind
from pipeline.core.removal import (
    APPROVED,
    REFUSED,
    SHARE_FROM,
    Asked,
    CarryOut,
    Decision,
    Hold,
    Limits,
    Losses,
    Policy,
    Quarantine,
    Standing,
    Stay,
    Window,
    decide,
    is_decided,
)

NOW = 1_000_000
QUIET = Window(0, 0)
PLAIN = Limits()
SLOW = Limits(Policy.QUARANTINE, quarantine_ms=500)
ASKING = Limits(Policy.HOLD)
ACCOUNT = Asked(Kind.ACCOUNT, "enabled")


def owning(**losses: int) -> Asked:
    return Asked(Kind.ACCOUNT, "enabled", Losses(**losses))


def stands(asked: Asked = ACCOUNT, **standing: object) -> Asked:
    return Asked(asked.kind, asked.state, asked.losses, Standing(**standing))  # type: ignore[arg-type]


def within_the_hour(count: int, rest: str) -> Hold:
    return Hold(f"{count} entities were removed within the hour, {rest}")


CASES: dict[str, tuple[Limits, Asked, Window, Decision]] = {
    "nothing speaks against it": (PLAIN, ACCOUNT, QUIET, CarryOut()),
    "it has one machine": (PLAIN, owning(vms=1), QUIET, Hold("it would take along 1 VM")),
    "it has of everything": (
        PLAIN,
        owning(vms=400, volumes=401, networks=1, projects=2),
        QUIET,
        Hold("it would take along 400 VMs, 401 volumes, 1 network, 2 projects"),
    ),
    "so much is allowed": (Limits(losses=Losses(vms=2)), owning(vms=2), QUIET, CarryOut()),
    "only what is too much is named": (
        Limits(losses=Losses(vms=2)),
        owning(vms=2, volumes=1),
        QUIET,
        Hold("it would take along 1 volume"),
    ),
    "the last of the hour": (Limits(per_hour=5), ACCOUNT, Window(4, 9_999), CarryOut()),
    "one too many in the hour": (
        Limits(per_hour=5),
        ACCOUNT,
        Window(5, 9_999),
        within_the_hour(5, "and the region's limit is 5"),
    ),
    "none at all may go": (
        Limits(per_hour=0),
        ACCOUNT,
        QUIET,
        within_the_hour(0, "and the region's limit is 0"),
    ),
    "no limit by the hour": (Limits(per_hour=None, share=None), ACCOUNT, Window(10**6, 1), CarryOut()),
    "a large share of few": (Limits(per_hour=None), ACCOUNT, Window(SHARE_FROM - 1, 1), CarryOut()),
    "a large share of many": (
        Limits(per_hour=None, share=0.1),
        ACCOUNT,
        Window(SHARE_FROM, 9 * SHARE_FROM),
        within_the_hour(SHARE_FROM, f"of {10 * SHARE_FROM}, and the region's limit is 10.0%"),
    ),
    "the last of the share": (
        Limits(per_hour=None, share=0.1),
        ACCOUNT,
        Window(SHARE_FROM, 9 * SHARE_FROM + 10),
        CarryOut(),
    ),
    "policy hold": (ASKING, Asked(Kind.USER, "enabled"), QUIET, Hold("the region's removal policy is hold")),
    "policy hold, and what is lost says more": (
        ASKING,
        owning(vms=1),
        QUIET,
        Hold("it would take along 1 VM"),
    ),
    "quarantine begins": (SLOW, ACCOUNT, QUIET, Quarantine(NOW + 500, "enabled")),
    "a user's too": (SLOW, Asked(Kind.USER, "locked"), QUIET, Quarantine(NOW + 500, "locked")),
    "a domain has no state": (SLOW, Asked(Kind.DOMAIN), QUIET, CarryOut()),
    "limits come before quarantine": (SLOW, owning(vms=1), QUIET, Hold("it would take along 1 VM")),
    "in quarantine": (
        SLOW,
        stands(Asked(Kind.ACCOUNT, "disabled"), until=NOW + 1, before="locked"),
        QUIET,
        Quarantine(NOW + 1, "locked"),
    ),
    "in quarantine whatever the policy is now": (
        PLAIN,
        stands(owning(vms=1), until=NOW + 1, before="enabled"),
        QUIET,
        Quarantine(NOW + 1, "enabled"),
    ),
    "its quarantine is over": (SLOW, stands(until=NOW, before="enabled"), QUIET, CarryOut()),
    "it got machines in quarantine": (
        SLOW,
        stands(owning(vms=1), until=NOW, before="enabled"),
        QUIET,
        Hold("it would take along 1 VM"),
    ),
    "approved, whatever it takes along": (
        Limits(Policy.HOLD, per_hour=0),
        stands(owning(vms=400), decision=APPROVED, note="yes"),
        QUIET,
        CarryOut(),
    ),
    "approved in quarantine": (
        SLOW,
        stands(decision=APPROVED, until=NOW + 1, before="enabled"),
        QUIET,
        CarryOut(),
    ),
    "refused": (PLAIN, stands(decision=REFUSED, note="no"), QUIET, Stay("no", None)),
    "refused in quarantine": (
        PLAIN,
        stands(decision=REFUSED, note="no", until=NOW + 1, before="locked"),
        QUIET,
        Stay("no", "locked"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions(name: str) -> None:
    limits, asked, window, decision = CASES[name]
    assert decide(limits, asked, window, NOW) == decision


COUNTS = st.integers(0, 5)
LIMITS = st.builds(
    Limits,
    st.sampled_from(Policy),
    st.none() | COUNTS,
    st.none() | st.floats(0, 1),
    st.builds(Losses, COUNTS, COUNTS, COUNTS, COUNTS),
)
STANDINGS = st.builds(
    Standing,
    st.sampled_from([None, APPROVED, REFUSED]),
    st.just("because"),
    st.none() | st.integers(NOW - 2, NOW + 2),
    st.sampled_from(["enabled", "locked"]),
)
ASKED = st.builds(
    Asked,
    st.sampled_from(Kind),
    st.just("enabled"),
    st.builds(Losses, COUNTS, COUNTS, COUNTS, COUNTS),
    STANDINGS,
)


@given(LIMITS, ASKED, st.builds(Window, st.integers(0, 300), st.integers(0, 3000)))
def test_nothing_over_a_limit_is_removed_unless_a_person_approved(
    limits: Limits, asked: Asked, window: Window
) -> None:
    if decide(limits, asked, window, NOW) != CarryOut() or asked.standing.decision == APPROVED:
        return
    assert limits.policy is not Policy.HOLD
    assert limits.per_hour is None or window.removed < limits.per_hour
    for name in ("vms", "volumes", "networks", "projects"):
        assert getattr(asked.losses, name) <= getattr(limits.losses, name)


@given(LIMITS, ASKED, st.builds(Window, st.integers(0, 300), st.integers(0, 3000)))
def test_what_is_decided_needs_neither_losses_nor_counts(
    limits: Limits, asked: Asked, window: Window
) -> None:
    if is_decided(asked.standing, NOW):
        unread = Asked(asked.kind, asked.state, Losses(), asked.standing)
        assert decide(limits, asked, window, NOW) == decide(limits, unread, QUIET, NOW)
