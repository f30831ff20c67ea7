"""Turns what a page read into HTML. In: a template's name and values. Out: text. Called by the server.

Every value is escaped (Jinja2's autoescape): a name is shown as the text that it is. No script, no asset of
another host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.views.plans import tree
from pipeline.views.plot import bars

STYLE: Final = "style.css"
_UNITS: Final = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


class Renderer:
    """Templates, read once."""

    def __init__(self) -> None:
        self.style = (files("pipeline.views") / "static" / STYLE).read_bytes()
        self._pages = Environment(
            loader=PackageLoader("pipeline.views"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._pages.filters.update(
            moment=moment, lasted=lasted, part=lambda text: quote(str(text), safe=""), words=words
        )
        self._pages.globals.update(
            bars=bars,
            link=link,
            tree=tree,
            style=f"/static/{STYLE}?v={hashlib.sha256(self.style).hexdigest()[:12]}",
        )

    def page(self, template: str, values: Mapping[str, Any]) -> str:
        """The whole page."""
        return self._pages.get_template(template).render(values)


def moment(ms: int | None) -> Markup:
    """A time in UTC, to the second; empty for none."""
    if ms is None:
        return Markup("")
    time = datetime.fromtimestamp(ms / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ"), time.strftime("%Y-%m-%d %H:%M:%S")
    )


def lasted(ms: int | None) -> str:
    """A span in the two largest units that matter."""
    if ms is None:
        return ""
    seconds = max(0, ms // 1000)
    for size, unit, smaller, small in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // smaller} {small}"
    return f"{seconds} s"


def words(name: str) -> str:
    """A name of ours as a person writes it."""
    return name.replace("_", " ")


def link(path: str, params: Mapping[str, Any], **changed: Any) -> str:
    """The same address with some of the query changed; None takes a part out."""
    query = {name: value for name, value in {**params, **changed}.items() if value not in (None, "")}
    return f"{path}?{urlencode(query)}" if query else path
