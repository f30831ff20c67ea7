"""Which rows of an event log are lost: tables for what has to be on both sides and for when it is judged, and
the law that holds whatever the bus does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import Kind
from pipeline.core.events import HINT, KNOWN, Event
from pipeline.core.gap import SILENT_AFTER, Logged, Lost, Matcher, Own, Silence, Trace, trace

GRACE = 60_000
T0 = 1_790_000_000_000
OWN = Own("u-own", "svc", "sync")
EVENT = Event("USER.UPDATE", Kind.USER, "u1", "Completed", T0, actor="u-admin")
TRACE = Trace("USER.UPDATE", Kind.USER, "u1", T0)


def row(number: int, told: Trace = TRACE) -> Logged:
    return Logged(f"row-{number}", told, "key", b"body")


def at(seconds: int, told: Trace = TRACE) -> Trace:
    return told._replace(time=T0 + seconds * 1000)


def names(lost: list[Lost]) -> list[str]:
    return [one.row.id for one in lost]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EVENT, TRACE),
        (replace(EVENT, actor="", actor_name="admin", actor_account="admin"), TRACE),
        (replace(EVENT, actor="", actor_name="svc", actor_account="people"), TRACE),
        (replace(EVENT, actor="u-own"), None),
        (replace(EVENT, actor="", actor_name="svc", actor_account="sync"), None),
        (replace(EVENT, status="Started"), None),
        (replace(EVENT, status="Scheduled"), None),
        (replace(EVENT, type="USER.LOGIN"), None),
        (replace(EVENT, type="VM.CREATE"), None),
        (replace(EVENT, type=HINT), None),
        (replace(EVENT, uuid=None), None),
    ],
)
def test_what_has_to_be_on_both_sides(event: Event, expected: Trace | None) -> None:
    assert trace(event, OWN) == expected


class TestMatcher:
    def test_a_row_is_lost_only_after_the_grace(self) -> None:
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        assert matcher.judge(T0 + GRACE - 1) == []
        assert matcher.oldest == T0
        assert names(matcher.judge(T0 + GRACE)) == ["row-1"]
        assert matcher.judge(T0 + 9 * GRACE) == []
        assert matcher.oldest is None

    @pytest.mark.parametrize(
        ("message", "lost"),
        [
            (TRACE, []),
            (at(1), []),
            (at(-1), []),
            (at(2), ["row-1"]),
            (TRACE._replace(uuid="u2"), ["row-1"]),
            (TRACE._replace(type="USER.DELETE"), ["row-1"]),
            (TRACE._replace(kind=Kind.DOMAIN), ["row-1"]),
        ],
    )
    def test_which_message_is_a_row_s(self, message: Trace, lost: list[str]) -> None:
        matcher = Matcher(GRACE)
        matcher.heard(message)
        matcher.logged(row(1), T0)
        assert names(matcher.judge(T0 + GRACE)) == lost

    def test_a_message_may_come_late_and_before_its_row(self) -> None:
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        matcher.judge(T0 + 41_000)
        matcher.heard(TRACE)
        matcher.heard(at(5))
        matcher.logged(row(2, at(5)), T0 + 41_000)
        assert matcher.judge(T0 + 9 * GRACE) == []

    def test_a_message_answers_for_one_row(self) -> None:
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        matcher.logged(row(2), T0)
        matcher.heard(TRACE)
        assert len(matcher.judge(T0 + GRACE)) == 1

    def test_two_messages_answer_for_two_rows(self) -> None:
        matcher = Matcher(GRACE)
        for number in range(4):
            matcher.logged(row(number), T0)
        matcher.heard(TRACE)
        matcher.heard(TRACE)
        assert len(matcher.judge(T0 + GRACE)) == 2

    def test_a_row_s_own_second_comes_before_a_neighbour_s(self) -> None:
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        matcher.logged(row(2, at(1)), T0 + 1)
        matcher.heard(at(1))
        assert names(matcher.judge(T0 + GRACE)) == ["row-1"]

    def test_what_a_row_showed_first_counts(self) -> None:
        """After a user's move the log shows another UUID (recording user.move)."""
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        matcher.logged(row(1, TRACE._replace(uuid="dead")), T0 + 1)
        matcher.heard(TRACE)
        assert matcher.judge(T0 + 9 * GRACE) == []

    def test_a_row_that_another_process_filled_is_not_lost_again(self) -> None:
        matcher = Matcher(GRACE)
        matcher.logged(row(1), T0)
        matcher.logged(row(2), T0)
        matcher.filled("row-1", T0)
        assert names(matcher.judge(T0 + GRACE)) == ["row-2"]

    def test_what_is_forgotten_answers_for_nothing(self) -> None:
        matcher = Matcher(GRACE)
        matcher.heard(TRACE)
        matcher.heard(at(10))
        matcher.filled("row-3", T0)
        matcher.forget(T0 + 9_000)
        matcher.logged(row(1), T0)
        matcher.logged(row(2, at(10)), T0)
        matcher.logged(row(3), T0)
        assert names(matcher.judge(T0 + GRACE)) == ["row-1", "row-3"]

    def test_it_is_bounded(self) -> None:
        matcher = Matcher(GRACE, rows_max=2, heard_max=2)
        for number in range(3):
            matcher.heard(at(10 * number))
        assert not matcher.full
        matcher.logged(row(0, at(0)), T0)
        matcher.logged(row(1, at(10)), T0)
        assert matcher.full
        assert names(matcher.judge(T0 + GRACE)) == ["row-0"]  # the oldest message was forgotten
        assert not matcher.full


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([name for name, changes in KNOWN.items() if changes][:3]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),  # its second
        st.booleans(),  # told by the bus
        st.integers(-1, 1),  # the bus's second, seen from the row's
    ),
    max_size=40,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_as_many_are_lost_as_the_bus_did_not_tell(
    events: list[tuple[str, str, int, bool, int]], chance: object
) -> None:
    """Lost and reordered, the seconds of both sides alike: of each type, entity and second as many rows are
    lost as messages are missing, each once, in whichever order and however often it is judged."""
    rows = [
        row(n, Trace(kind, Kind.USER, uuid, T0 + 5000 * s)) for n, (kind, uuid, s, _, _) in enumerate(events)
    ]
    messages = [
        one.trace._replace(time=one.trace.time + 1000 * shift)
        for one, (_, _, _, told, shift) in zip(rows, events, strict=True)
        if told
    ]
    missing = Counter(one.trace for one, (_, _, _, told, _) in zip(rows, events, strict=True) if not told)
    assert Counter(one.row.trace for one in judged(rows, messages, chance)) == missing


@given(EVENTS, st.randoms(use_true_random=False), st.integers(2, 4))
def test_doubled_messages_make_no_row_lost(
    events: list[tuple[str, str, int, bool, int]], chance: object, times: int
) -> None:
    """Each row of its own second: none with a message is lost, all without one are."""
    rows = [
        row(n, Trace(kind, Kind.USER, uuid, T0 + 5000 * n)) for n, (kind, uuid, _, _, _) in enumerate(events)
    ]
    heard = [one.trace for one, (_, _, _, told, _) in zip(rows, events, strict=True) if told] * times
    lost = judged(rows, heard, chance)
    silent = [one.id for one, (_, _, _, told, _) in zip(rows, events, strict=True) if not told]
    assert sorted(one.row.id for one in lost) == sorted(silent)


def judged(rows: list[Logged], messages: list[Trace], chance: object) -> list[Lost]:
    """All that is found lost, when rows (again and again) and messages come in any order within the grace."""
    matcher, lost = Matcher(GRACE), []
    steps: list[Logged | Trace] = [*rows, *messages]
    chance.shuffle(steps)  # type: ignore[attr-defined]
    for number, one in enumerate(steps):
        if isinstance(one, Logged):
            matcher.logged(one, T0)
        else:
            matcher.heard(one)
        lost += matcher.judge(T0 + number * GRACE // (len(steps) + 1))
    assert lost == []
    for later in (GRACE, GRACE + 1, 2 * GRACE):
        lost += matcher.judge(T0 + later)
    return lost


class TestSilence:
    def lose(self, silence: Silence, seconds: range) -> None:
        for second in seconds:
            silence.lost(T0 + 1000 * second)

    def test_a_log_that_moves_without_the_bus(self) -> None:
        silence = Silence()
        self.lose(silence, range(SILENT_AFTER - 1))
        assert silence.since is None
        self.lose(silence, range(SILENT_AFTER - 1, SILENT_AFTER))
        assert silence.since == T0

    def test_a_bus_that_tells_what_happened_later_is_not_silent(self) -> None:
        silence = Silence()
        self.lose(silence, range(SILENT_AFTER - 1))
        silence.heard(T0 + 20_000)
        self.lose(silence, range(4, 21))
        assert silence.since is None
        self.lose(silence, range(21, 21 + SILENT_AFTER))
        assert silence.since == T0 + 21_000

    def test_it_ends_by_a_word_about_what_happened_since(self) -> None:
        silence = Silence(since=T0)
        silence.heard(T0 - 5000)  # an earlier one, read again after a restart
        assert silence.since == T0
        silence.heard(T0 + 1000)
        assert silence.since is None
