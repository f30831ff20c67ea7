"""How a user logs in, as CloudStack's own database says it: a password's hash, or somebody else's word.

In: columns of CloudStack's table `user`. Out: what stands for them wherever they are compared, and who can
read a hash. Called by whoever reads that table, and by the worker that copies into it. Pure.

The forms are CloudStack's (plugins/user-authenticators): PBKDF2 keeps `salt:hash:rounds`, SHA256SALT
`salt:hash`, both in base64; MD5 has no salt and PLAINTEXT no hash. Only the first two are carried: of a hash
without a salt even a fingerprint would give the password away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.keys import fingerprint

PBKDF2: Final = "PBKDF2"
SHA256SALT: Final = "SHA256SALT"
"""The names of CloudStack's encoders, as its settings `user.password.encoders.…` have them."""

UNKNOWN: Final = "UNKNOWN"
"""The column's own default."""

NATIVE: Final = frozenset({"", UNKNOWN, "NATIVE"})
"""Values of the column `source` of users with a password of CloudStack's own."""

PROVIDERS: Final = frozenset({"LDAP", "SAML2", "SAML2DISABLED", "OAUTH2"})
"""Its values of identity providers' users. CloudStack reads the column as an enum (User.Source): a word that
it does not know would make it fail at every read of that user. So no other is told, and none is written."""

NO_HASH: Final = "native"
"""Stands for a password of the region's own, of which nothing is told: where only providers are carried."""

_BASE64: Final = r"[A-Za-z0-9+/]{20,100}={0,2}"
"""Bounded: the column takes 255 characters."""
_FORMS: Final = (
    (PBKDF2, re.compile(rf"{_BASE64}:{_BASE64}:[0-9]{{1,7}}", re.ASCII)),
    (SHA256SALT, re.compile(rf"{_BASE64}:{_BASE64}", re.ASCII)),
)
"""CloudStack takes 100,000 rounds; a billion would keep its core busy for minutes at each try to log in."""


@dataclass(frozen=True, slots=True)
class Login:
    """The three columns. `password`: the stored hash, empty where none is to be told; neither it nor
    `external` is ever shown."""

    password: str = field(repr=False)
    source: str = ""
    external: str = field(default="", repr=False)

    @property
    def is_native(self) -> bool:
        return self.source.upper() in NATIVE


def encoder(password: str) -> str | None:
    """Which of CloudStack's encoders reads this stored hash; None for what is not carried."""
    return next((name for name, form in _FORMS if form.fullmatch(password)), None)


def stands_for(login: Login) -> str | None:
    """The value of the field `login`: a fingerprint of the hash, or the identity provider's name and a
    fingerprint of the user's name there. None for what is not carried."""
    if login.is_native:
        if not login.password:
            return NO_HASH
        return fingerprint(login.password) if encoder(login.password) else None
    if login.source.upper() not in PROVIDERS:
        return None
    return f"{login.source.lower()}:{fingerprint(login.external)}"


def is_federated(value: str) -> bool:
    """Whether a value of the field stands for an identity provider."""
    return ":" in value
