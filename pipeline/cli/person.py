"""Who says a command, for the audit.

In: the reason that was given. Out: the login name of the operating system's user with it, as the outbox wants
it. Not from the environment: anybody may set that.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.outbox.noting import By


def by(reason: str) -> By:
    """The user of this process, now."""
    from pipeline.cli.database import now_ms
    from pipeline.outbox.noting import By

    return By(login_name(os.getuid()), reason, now_ms())


def login_name(uid: int) -> str:
    """Its number where it has no name, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
