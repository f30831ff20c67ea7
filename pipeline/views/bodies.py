"""Reads what a request carries beside its address. In: forms and JSON as anybody may write them. Out: text
that databases and pages take, or `BadQuery` in a sentence. Called by the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline.views.sources import BadQuery

UNREADABLE: Final = (HttpProcessingError, ValueError, LookupError, TypeError, AssertionError, RuntimeError)
"""What aiohttp and json raise for a body that is none: a charset that nobody knows is a LookupError, a nest
that is too deep a RecursionError (a RuntimeError)."""


async def read_form(request: web.Request) -> Mapping[str, str]:
    """The fields that are text. Raises `BadQuery`."""
    try:
        form = await request.post()
    except UNREADABLE:
        raise BadQuery("the form can't be read") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def read_object(request: web.Request) -> dict[str, Any]:
    """A JSON object. Raises `BadQuery`."""
    if request.content_type != "application/json":
        raise BadQuery("the body must be JSON, and its Content-Type say so")
    try:
        said = await request.json()
    except UNREADABLE:
        raise BadQuery("the body is not JSON") from None
    if not isinstance(said, dict):
        raise BadQuery("the body is not a JSON object")
    return said


def written(value: object, limit: int) -> str:
    """What a person wrote, as it is kept: so many characters, and none that can't be."""
    text = value.strip()[:limit] if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
