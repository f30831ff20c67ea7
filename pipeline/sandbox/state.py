"""What one simulated region holds: plain dataclasses for every entity, changed only through
`world.World`.

Read by every command module; nothing here knows HTTP, events or permissions. Internal numbers (`id`)
exist because CloudStack shows them in its texts and because two of its quirks depend on them (see
`render.domain_limits`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

ROOT_ID = 1
SYSTEM_ACCOUNT_ID = 1
ADMIN_ACCOUNT_ID = 2

ENABLED = "enabled"
DISABLED = "disabled"
LOCKED = "locked"

NORMAL = 0
ROOT_ADMIN = 1
DOMAIN_ADMIN = 2
RESOURCE_ADMIN = 3
PROJECT = 5

ADMIN_ROLE = "Admin"
ACCOUNT_TYPE_BY_ROLE_TYPE = {
    "Admin": ROOT_ADMIN,
    "ResourceAdmin": RESOURCE_ADMIN,
    "DomainAdmin": DOMAIN_ADMIN,
    "User": NORMAL,
}
ROLE_RANK = {"Admin": 1, "ResourceAdmin": 2, "DomainAdmin": 4, "User": 8}


@dataclass(eq=False, slots=True)
class Permission:
    """One rule of a role: an API name or a pattern with `*`, allowed or denied."""

    id: int
    uuid: str
    role: Role
    rule: str
    allow: bool
    description: str | None = None


@dataclass(eq=False, slots=True)
class Role:
    """A role; default ones are the same in every region but for their UUID."""

    id: int
    uuid: str
    name: str | None
    type: str
    description: str | None = None
    default: bool = False
    enabled: bool = True
    public: bool = True
    removed: bool = False
    permissions: list[Permission] = field(default_factory=list)
    accounts: int = 0


@dataclass(eq=False, slots=True)
class Domain:
    """A domain; `owner_id` is the account that created it (it owns the jobs about it)."""

    id: int
    uuid: str
    name: str
    parent: Domain | None
    owner_id: int
    created_ms: int
    networkdomain: str | None = None
    removed: bool = False
    limits: dict[int, int] = field(default_factory=dict)
    children: dict[str, Domain] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)

    @property
    def level(self) -> int:
        """0 for ROOT, its children 1, and so on."""
        return 0 if self.parent is None else self.parent.level + 1

    @property
    def path(self) -> str:
        """As the API shows it: `ROOT/parent/name`."""
        return self.name if self.parent is None else f"{self.parent.path}/{self.name}"

    @property
    def inner_path(self) -> str:
        """As the database holds it: `/parent/name/`."""
        return "/" if self.parent is None else f"{self.parent.inner_path}{self.name}/"

    def within(self, other: Domain) -> bool:
        """Whether this is `other` or lies below it."""
        here: Domain | None = self
        while here is not None:
            if here is other:
                return True
            here = here.parent
        return False

    def __str__(self) -> str:
        path = self.inner_path.replace("/", "\\/")
        return f'Domain {{"id":{self.id},"name":"{self.name}","path":"{path}","uuid":"{self.uuid}"}}'


@dataclass(eq=False, slots=True)
class Account:
    """An account; project accounts are of type PROJECT and never listed."""

    id: int
    uuid: str
    name: str
    domain: Domain
    role: Role | None
    type: int
    created_ms: int
    state: str = ENABLED
    networkdomain: str | None = None
    details: dict[str, str] = field(default_factory=dict)
    default: bool = False
    removed: bool = False
    apikeyaccess: bool | None = None
    limits: dict[int, int] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    belongings: dict[str, int] = field(default_factory=dict)

    @property
    def root_admin(self) -> bool:
        return self.type == ROOT_ADMIN

    @property
    def admin(self) -> bool:
        """Root, resource or domain administrator."""
        return self.type in (ROOT_ADMIN, DOMAIN_ADMIN, RESOURCE_ADMIN)

    def __str__(self) -> str:
        return f'Account [{{"accountName":"{self.name}","id":{self.id},"uuid":"{self.uuid}"}}]'


@dataclass(eq=False, slots=True)
class User:
    """A user. moveUser leaves a removed row behind under a new UUID."""

    id: int
    uuid: str
    username: str
    firstname: str
    lastname: str
    email: str
    account: Account
    created_ms: int
    password: str
    timezone: str | None = None
    state: str = ENABLED
    removed: bool = False
    default: bool = False
    apikey: str | None = None
    secretkey: str | None = None
    apikeyaccess: bool | None = None
    wrong_logins: int = 0
    two_factor: bool = False

    def __str__(self) -> str:
        return f'User {{"username":"{self.username}","uuid":"{self.uuid}"}}'


@dataclass(eq=False, slots=True)
class Project:
    """A project; known only so far as the recordings show projects."""

    id: int
    uuid: str
    name: str
    displaytext: str
    owner: Account
    account: Account
    created_ms: int
    state: str = "Active"
    removed: bool = False


@dataclass(eq=False, slots=True)
class RegionRow:
    """A row of listRegions: what addRegion was told."""

    id: int
    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a caller gives for a user to be made; the password is clear text and is kept only as a digest."""

    username: str
    password: str
    firstname: str
    lastname: str
    email: str
    timezone: str | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What a caller gives for an account to be made."""

    name: str
    domain: Domain
    role: Role
    type: int
    networkdomain: str | None = None
    details: dict[str, str] = field(default_factory=dict)
    uuid: str | None = None
