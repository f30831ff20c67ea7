"""docs/scaling.md says what the model says, and the sentences about it are true."""

from __future__ import annotations

import re

from pipeline.core.sizing import Load, size
from tests.scaling import PAGE, written


def test_the_page_s_tables_are_the_model_s() -> None:
    assert PAGE.read_text() == written(PAGE.read_text()), "python -m tests.scaling writes them anew"


def test_what_the_page_says_of_the_database_is_what_the_model_says() -> None:
    found = re.search(
        r"at (\d+) regions one core for each (\d+) changes a second, and (\d+) KiB\s+of log",
        PAGE.read_text(),
    )
    assert found is not None
    regions, changes, kib = map(int, found.groups())
    one = size(Load(1, regions, 50, peak=1))
    assert changes == round(1 / one.database_cores, -1)
    assert kib == round(one.log_mib_per_s * 1024)
