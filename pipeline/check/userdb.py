"""A region's own CloudStack database, where its users' logins are carried: can it be reached, may we read and
write what we need there?

In: a region of the settings. Out: findings. Nothing is changed.
"""

from __future__ import annotations

from pipeline.check.finding import Finding, Subject, blocking
from pipeline.core.errors import TemporaryError
from pipeline.settings import Region
from pipeline.userdb.logins import LoginStore


async def examine(region: Region) -> list[Finding]:
    """One finding; none where no logins are carried."""
    if region.user_database is None:
        return []
    subject, url = Subject(region.name, "user_database"), region.user_database.get_secret_value()
    try:
        await blocking(lambda: LoginStore.at(url).rehearse())
    except TemporaryError as error:
        return [subject.fail(str(error))]
    return [subject.ok("reached, users' logins can be read and written")]
