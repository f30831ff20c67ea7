"""The failures of CloudStack's own database, in the one word that they all deserve: it will be asked again.

In: whatever SQLAlchemy or a driver raises inside `patiently()`. Out: `TemporaryError`. A right that is not
granted and a table that is not there are for the region's administrator to mend, and what waits goes on then;
meanwhile everything else of the region must go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from pipeline.core.distrust import distrust
from pipeline.core.errors import TemporaryError


@contextmanager
def patiently() -> Iterator[None]:
    """Raises `TemporaryError`; its words show no statement and no value."""
    try:
        yield
    except DBAPIError as error:
        words = distrust(error) or " ".join(str(error.orig).split())
        raise TemporaryError(f"user_database: {words}") from error
