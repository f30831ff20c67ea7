"""docs/scaling.md says what the model says, and the sentences about it are true."""

from __future__ import annotations

import re

from pipeline.config.region import Region
from pipeline.core import capacity, sizing
from pipeline.core.sizing import Load, size
from pipeline.outbox.decisions import KEPT_ROWS
from pipeline.settings import PARTITIONS, Retention
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


def test_what_it_takes_for_the_defaults_are_the_defaults() -> None:
    """The core knows no settings, so they stand there once more."""
    assert Region.model_fields["lanes"].default == sizing.LANES_LEAST
    assert sizing.PARTITIONS_LEAST == PARTITIONS
    assert Retention.model_fields["outbox_days"].default == sizing.DAYS
    assert capacity.DECISIONS_KEPT == KEPT_ROWS
