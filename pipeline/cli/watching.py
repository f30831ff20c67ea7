"""Shows a command's answer again and again, in place on a terminal, until it is interrupted.

In: a way to look, which prints. Out: the newest answer on the screen; elsewhere, one after the other. What
passes by itself (the database is away) is shown, and looked past. Called by `status --watch`.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Final, NoReturn

from pipeline.core.errors import TemporaryError

EVERY_S: Final = 2.0

Look = Callable[[], None]


class _Page(io.StringIO):
    """What a look prints, as it would on what stands behind it."""

    def isatty(self) -> bool:
        return bool(sys.__stdout__ and sys.__stdout__.isatty())


def watch(look: Look) -> NoReturn:
    """Until Ctrl-C, which is the caller's to turn into an exit code."""
    if not sys.stdout.isatty():
        while True:
            print(_page(look), flush=True)
            time.sleep(EVERY_S)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            live.update(Text.from_ansi(_page(look)), refresh=True)
            time.sleep(EVERY_S)


def _page(look: Look) -> str:
    page = _Page()
    try:
        with redirect_stdout(page):
            look()
    except TemporaryError as error:
        return f"{error}; looking again"
    return page.getvalue().rstrip("\n")
