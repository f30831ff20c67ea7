"""What is kept the same everywhere: kinds, their fields, and one region's view of one entity.

Everything speaks in these words: the client produces a `Snapshot` from an API answer, the merge compares
its fields, the plan turns a difference of fields into calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.core.limits import ACCOUNT_LIMITS, DOMAIN_LIMITS


class Kind(StrEnum):
    """The kinds of entity, by the words CloudStack's bus uses for them."""

    DOMAIN = "Domain"
    ACCOUNT = "Account"
    USER = "User"
    ROLE = "Role"


ROOT: Final = "ROOT"
"""Stands for the root domain in `parent` fields: its UUID differs in each region, its meaning does not."""

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
LOCKED: Final = "locked"

_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.DOMAIN: ("name", "networkdomain", "parent"),
    Kind.ACCOUNT: ("name", "networkdomain", "role", "state", "parent"),
    Kind.USER: ("name", "firstname", "lastname", "email", "timezone", "state", "parent"),
    Kind.ROLE: ("name", "description", "type", "public", "rules", "parent"),
}

FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(_FIELDS)
"""The synced fields of each kind. `name` is the domain's name, the account's name, the user's user name;
`parent` is the parent domain, the account's domain, the user's account; `role` is the role's *name*, since a
role's UUID differs from region to region. A custom role is always below ROOT: so its name is its key; its
`rules` are one text (`core.roles`). Every value is text; absent and empty are the same (cloudstack.md:
a cleared network domain is "", one never set is missing)."""

API_KEY: Final = "apikey"
"""The field that stands for a user's pair of keys: a fingerprint of the API key, "" for none."""

LOGIN: Final = "login"
"""The field that stands for how a user logs in: a fingerprint of the stored hash, or its identity provider
(`core.passwords`)."""

_OPTIONAL: dict[Kind, tuple[str, ...]] = {
    Kind.DOMAIN: DOMAIN_LIMITS,
    Kind.ACCOUNT: ACCOUNT_LIMITS,
    Kind.USER: (API_KEY, LOGIN),
    Kind.ROLE: (),
}

OPTIONAL: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(_OPTIONAL)
"""Fields that a region tells only where its settings say so, user by user. One that it does not tell is not
empty but none of the sync's business there: it is never sent to that region either."""

ROOT_ADMIN_TYPE: Final = "Admin"
"""The type of every role that makes a root administrator. Such a role is taken from nowhere."""

ROOT_ADMIN_ROLE: Final = "Root Admin"
"""The name of the role that every region came with for its root administrators. Other roles may be theirs
too: only the region itself knows the types of its roles."""

NEVER_CLEARED: Final = frozenset({"timezone", API_KEY})
"""Fields that no call makes empty once they are set: an empty one is what creation left, never a change."""

DEFAULTED: Final = frozenset({*ACCOUNT_LIMITS, LOGIN})
"""Fields that have a value from the start which nobody gave: where no limit is set, a region shows its own
default, and a user that we made has a password that we made up. So the first word of one is no change
(`core.first`)."""

Fields = Mapping[str, str]
"""Field name → value, for all fields of the kind."""


def alike(kind: Kind, one: Fields | None, other: Fields | None) -> bool:
    """Whether nothing differs that both tell of: not every listing shows the optional fields."""
    if one is None or other is None:
        return one is other
    untold = {name for name in OPTIONAL[kind] if (name in one) is not (name in other)}
    return all(one.get(name) == other.get(name) for name in (one.keys() | other.keys()) - untold)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one region holds of one entity, as read there, in that region's own UUIDs.

    `fields` is None when the region does not know the UUID (never did, or removed). `created` is the region's
    own creation time in milliseconds, where the API tells it. `protected` marks what is never touched: ROOT,
    the default and system accounts, project accounts, root administrators, built-in roles, the sync's own
    account, user and role.
    `root_admin`: it is left alone for being a root administrator's account, user or role, and for that
    alone.
    `users` are an account's users as its listing named them, oldest first (empty for the other kinds).
    """

    kind: Kind
    uuid: str
    fields: Fields | None
    created: int | None = None
    protected: bool = False
    users: tuple[Snapshot, ...] = ()
    root_admin: bool = False

    def is_left_alone(self, *, known: bool) -> bool:
        """Whether it is told to nobody. Of what was `known` there as something less and was made a root
        administrator since then is told: somebody may have had no right to do that."""
        return self.protected and not (self.root_admin and known)

    @property
    def present(self) -> bool:
        return self.fields is not None
