"""Reads an answer: CloudStack's response to a command, or the error that it stands for.

In: the command and the answer as it came. Out: the `Reply`, or one of the errors of errors.py.
Called by the client for every HTTP answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from pipeline.cloudstack.errors import Throttled, Unreachable, failure, worded
from pipeline.cloudstack.transport import Answer, excerpt, scrubbed

THROTTLED: Final = 429

COUNT_MAX: Final = 2**53
"""More than that is no number of anything."""

UNDATED: Final = (ValueError, TypeError, OverflowError)
"""What reading a date raises that is none, or is in no calendar of ours."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The object inside `<command>response`, {} when empty, and the cookies to send back with the next
    request."""

    inner: dict[str, Any]
    cookie: str = ""


def reply(command: str, answer: Answer, now_ms: int, secrets: tuple[str, ...] = ()) -> Reply:
    """What CloudStack replied. Raises the errors of errors.py.

    `now_ms` is needed where Retry-After is a date; `secrets` are kept out of every error's text.
    """
    body = _json(answer.body)
    asked_s = retry_after_s(answer.headers, now_ms)
    if body is None:
        raise _not_cloudstack(command, answer, asked_s, secrets)
    error = failure(command, answer.status, body)
    if isinstance(error, Throttled) and asked_s is not None:
        error.after_s = asked_s
    if error is not None:
        error.args = (scrubbed(str(error), secrets),)
        raise error
    inner: Any = next(iter(body.values()), {})
    cookies = [text.split(";", 1)[0] for text in answer.headers.get_list("set-cookie")]
    return Reply(inner if isinstance(inner, dict) else {}, "; ".join(cookies))


def rows(command: str, inner: dict[str, Any], item: str) -> list[dict[str, Any]]:
    """The objects of a listing, whose array is `item`. Raises `Unreachable` where they are none."""
    found = inner.get(item) or []
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Unreachable(f"the answer to {command} has no list of objects as {item!r}")
    return found


def count(command: str, inner: dict[str, Any]) -> int:
    """How many rows a listing has in all its pages, 0 where it does not say. Raises `Unreachable`."""
    told = inner.get("count") or 0
    if not isinstance(told, int) or not 0 <= told <= COUNT_MAX:
        raise Unreachable(f"the answer to {command} has no number as 'count'")
    return told


def named(command: str, row: Mapping[str, Any], key: str) -> str:
    """What a row must have to be of use to us at all, such as its id. Raises `Unreachable`."""
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise Unreachable(f"the answer to {command} has a row without {key!r}")
    return value


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def _not_cloudstack(
    command: str, answer: Answer, asked_s: float | None, secrets: tuple[str, ...]
) -> Exception:
    text = excerpt(answer.body, secrets)
    if answer.status == THROTTLED:
        error = worded(command, THROTTLED, text)
        if isinstance(error, Throttled) and asked_s is not None:
            error.after_s = asked_s
        return error
    where = answer.headers.get("location")
    if where and 300 <= answer.status < 400:
        text = f"it points to {scrubbed(where, secrets)[:200]}"
    return Unreachable(
        f"{command} was answered with HTTP {answer.status} and not by CloudStack: {text or 'nothing'}",
        asked_s,
    )


def retry_after_s(headers: httpx.Headers, now_ms: int) -> float | None:
    """Seconds asked for by Retry-After (a number, or a date), None when it is missing or unreadable. A date
    is the region's: it is compared with the region's own clock where the answer tells it."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        if text[0].isdigit():
            return max(0.0, float(text))
        told_ms = date_ms(headers)
        return _until(text, now_ms if told_ms is None else told_ms)
    except UNDATED:
        return None


def _until(date: str, now_ms: int) -> float:
    return max(0.0, parsedate_to_datetime(date).timestamp() - now_ms / 1000)


def date_ms(headers: httpx.Headers) -> int | None:
    """The region's own time by its Date header, in milliseconds (whole seconds are told)."""
    try:
        return int(parsedate_to_datetime(headers.get("date", "")).timestamp() * 1000)
    except UNDATED:
        return None
