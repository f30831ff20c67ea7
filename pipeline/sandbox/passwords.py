"""How a simulated region keeps users' passwords: as CloudStack's encoder PBKDF2 writes them, in memory or in
a table of a real database, where somebody else may write them too.

In: users, passwords in clear. Out: stored forms, and whether a password is the user's. Called by `world`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from typing import Final

from pipeline.sandbox.state import User
from pipeline.sandbox.usertable import UserTable

SALT_BYTES: Final = 64
ROUNDS: Final = 1
"""A real region takes 100,000: a simulated one has many users to make."""
NATIVE: Final = frozenset({"UNKNOWN", "NATIVE"})
"""Of the column `source`: whose password CloudStack itself checks."""


def stored(password: str) -> str:
    """`salt:hash:rounds`, never twice the same."""
    salt = secrets.token_bytes(SALT_BYTES)
    return f"{b64encode(salt).decode()}:{b64encode(_hash(password, salt, ROUNDS)).decode()}:{ROUNDS}"


def matches(password: str, kept: str) -> bool:
    """Whether that is the password of this stored form; of what has another form, never."""
    try:
        salt, hashed, rounds = kept.split(":")
        return hmac.compare_digest(_hash(password, b64decode(salt), int(rounds)), b64decode(hashed))
    except ValueError:
        return False


def _hash(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


class Passwords:
    """Of one region. `table`: None: in memory."""

    def __init__(self) -> None:
        self.table: UserTable | None = None

    def close(self) -> None:
        """Lets the database go, if there is one."""
        if self.table is not None:
            self.table.close()

    def keep(self, user: User) -> None:
        """Whatever of it has changed, but for its password."""
        if self.table is not None:
            self.table.keep(user, user.account.id)

    def set(self, user: User, password: str) -> None:
        """From now on."""
        user.password = stored(password)
        if self.table is not None:
            self.table.set_password(user.id, user.password)

    def held(self, user: User) -> str:
        """The stored form, as it is now."""
        return user.password if self.table is None else str(self.table.row(user.id)["password"])

    def accepts(self, user: User, password: str) -> bool:
        """Whether the user logs in by that password."""
        if self.table is not None and self.table.row(user.id)["source"] not in NATIVE:
            return False
        return matches(password, self.held(user))
