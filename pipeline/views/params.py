"""Reads the filters of an address. In: text as anybody may write it. Out: values that queries take, or
`BadQuery` in a sentence. Called by the pages.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from pipeline.core.soundness import is_text
from pipeline.outbox.listing import PAGE, PAGE_MAX, Cut
from pipeline.views.sources import BadQuery, Params

ID_MAX: Final = 2**53
DIGITS_MAX: Final = 20
VALUE_MAX: Final = 1_000
"""Characters of one filter, of a path's part, and of what is searched."""
_SPAN: Final = re.compile(r"(\d{1,9})(s|min|h|d)")
_SPAN_MS: Final = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def text(params: Params, name: str) -> str | None:
    """None for what is empty: a form sends every field."""
    value = params.get(name, "").strip()
    if len(value) > VALUE_MAX or not is_text(value, VALUE_MAX):
        raise BadQuery(f"{name}: has more than {VALUE_MAX} characters, or some that are none")
    return value or None


def chosen(params: Params, name: str, among: Collection[str]) -> str | None:
    """One of a few words."""
    value = text(params, name)
    if value is not None and value not in among:
        raise BadQuery(f"{name}: {value[:60]!r} is none of {', '.join(among)}")
    return value


def number(params: Params, name: str) -> int | None:
    """An id."""
    value = text(params, name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX) or int(value) > ID_MAX:
        raise BadQuery(f"{name}: {value[:60]!r} is no number")
    return int(value)


def id_of(params: Params) -> int:
    """The id in the path."""
    found = number(params, "id")
    if found is None:
        raise BadQuery("the id is missing")
    return found


def cut(params: Params) -> Cut:
    """Which piece of a list."""
    limit = number(params, "limit")
    if limit is not None and not 1 <= limit <= PAGE_MAX:
        raise BadQuery(f"limit: {limit} is not between 1 and {PAGE_MAX}")
    return Cut(number(params, "before"), number(params, "after"), limit or PAGE)


def moment(params: Params, name: str, now: int) -> int | None:
    """A time: 2026-11-23T08:00 (UTC if it names no zone), a span back from now (30min, 2h, 3d), or
    milliseconds."""
    value = text(params, name)
    if value is None:
        return None
    span = _SPAN.fullmatch(value)
    if span is not None:
        return max(0, now - int(span[1]) * _SPAN_MS[span[2]])
    if value.isascii() and value.isdigit() and len(value) >= 12:
        return number(params, name)
    try:
        time = datetime.fromisoformat(value)
        known = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return max(0, int(known.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise BadQuery(f"{name}: {value[:60]!r} is no time: write 2026-11-23T08:00, or 2h") from None
