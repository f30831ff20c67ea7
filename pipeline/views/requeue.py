"""Where a dead letter belongs, read again as messages are read today.

In: the letter. Out: topic, key and value; `PermanentError` where it still can't be read. Pure; called by the
action that puts it there. A key decides the lane, so it is the UUID that the message itself names.
"""

from __future__ import annotations

from pipeline import wire
from pipeline.core import topics
from pipeline.core.errors import PermanentError
from pipeline.core.events import Unreadable, parse_event
from pipeline.core.records import Desired, Observation
from pipeline.core.soundness import flaw
from pipeline.outbox.listing import BODY_SHOWN, LetterRow

Put = tuple[str, bytes, bytes]
"""Topic, key, value."""


def again(letter: LetterRow) -> Put:
    """Raises `PermanentError`."""
    if len(letter.body) >= BODY_SHOWN:
        raise PermanentError("only its beginning was kept: it can't be put back")
    if letter.region:
        try:
            wanted = wire.desired(letter.body)
        except wire.Unreadable:
            return _event(letter)
        _check(wanted)
        return topics.carrying(letter.region, revokes=wanted.revokes), wanted.uuid.encode(), letter.body
    try:
        seen = wire.observation(letter.body)
    except wire.Unreadable as error:
        raise PermanentError(f"it still can't be read: {error}") from error
    _check(seen)
    return topics.OBSERVATIONS, seen.uuid.encode(), letter.body


def _check(message: Observation | Desired) -> None:
    wrong = flaw(message)
    if wrong is not None:
        raise PermanentError(f"it still makes no sense: {wrong}")


def _event(letter: LetterRow) -> Put:
    try:
        event = parse_event(letter.body)
    except Unreadable as error:
        raise PermanentError(f"it still can't be read: {error}") from error
    if event.uuid is None:
        raise PermanentError("it names no entity")
    return topics.events(letter.region), event.uuid.encode(), letter.body
