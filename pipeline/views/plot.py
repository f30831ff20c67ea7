"""A small plot: stacked bars over time as an inline SVG, with its meaning in words for who can't see it.

In: numbers per step of time. Out: SVG. Called by the pages' templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

WIDTH: Final = 240
HEIGHT: Final = 48
GAP: Final = 1


def bars(series: Mapping[str, Sequence[int]], over: str) -> Markup:
    """One bar a step, the series of each stacked from below in their order. `over`: the span, in words."""
    steps = max((len(one) for one in series.values()), default=0)
    top = max((sum(one[step] for one in series.values()) for step in range(steps)), default=0)
    told = ", ".join(f"{sum(one)} {name}" for name, one in series.items())
    label = f"{told} {over}; at most {top} in one step"
    inside = Markup("").join(
        _bar(name, step, height, below)
        for step in range(steps)
        for name, height, below in _stack(series, step, top)
    )
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<line class="axis" x1="0" y1="{h}" x2="{w}" y2="{h}"/>{inside}</svg>'
    ).format(w=WIDTH, h=HEIGHT, label=label, inside=_scaled(inside, steps))


def _stack(series: Mapping[str, Sequence[int]], step: int, top: int) -> list[tuple[str, float, float]]:
    found, below = [], 0.0
    for name, values in series.items():
        if values[step]:
            height = values[step] / top * (HEIGHT - 2)
            found.append((name, height, below))
            below += height
    return found


def _bar(name: str, step: int, height: float, below: float) -> Markup:
    y = HEIGHT - below - height
    return Markup('<rect class="is-{}" x="{}" y="{:.1f}" width="0.9" height="{:.1f}"/>').format(
        name, step, y, height
    )


def _scaled(inside: Markup, steps: int) -> Markup:
    """Steps are one wide: stretched to the plot's width."""
    if not inside:
        return Markup("")
    return Markup('<g transform="scale({:.3f} 1)">{}</g>').format(WIDTH / steps, inside)
