"""One region's domains, accounts, users and custom roles, as Snapshots.

In: kinds, UUIDs, or a domain or account whose members are asked for. Out: Snapshots in the region's own
UUIDs. Called by observe and apply, which read one entity with one call, and by whoever reads many at once.
What calls cost: cloudstack.md; so a user is never found through its account, and accounts are read a page
at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from pipeline.cloudstack.answers import named, rows
from pipeline.cloudstack.client import PAGE, CloudStack
from pipeline.cloudstack.errors import NotFound
from pipeline.cloudstack.eventlog import History, read_history
from pipeline.cloudstack.introduction import own_user, reserved_accounts, root_domain
from pipeline.cloudstack.logins import Logins, with_logins
from pipeline.cloudstack.paths import Paths
from pipeline.cloudstack.role_names import RoleNames
from pipeline.cloudstack.rules import listed, with_rules
from pipeline.cloudstack.snapshots import Identity, snapshot
from pipeline.core.entities import OPTIONAL, ROOT, Kind, Snapshot
from pipeline.core.keys import KeyPolicy
from pipeline.core.limits import TYPES

_LIST: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.DOMAIN: ("listDomains", "domain"),
    Kind.ACCOUNT: ("listAccounts", "account"),
    Kind.USER: ("listUsers", "user"),
    Kind.ROLE: ("listRoles", "role"),
}
"""The listing of each kind and the name of its array."""

_OWN: Final = ("id", "accountid", "username", "account")
"""What must be known of our own user."""

_EVERYTHING: Final = {"listall": "true"}

_SLIM: Final = {"listall": "true", "details": "min"}
"""Without the limits and counts, which are most of an account's cost; an account's users are told all the
same (recording read.listAccounts.details.min)."""

_WITH_LIMITS: Final = {"listall": "true", "details": "min,resource"}
"""With them: a page of 500 accounts takes some 8 s in place of 2.2 (cloudstack.md)."""


class Resources:
    """Reads one region. `start` comes first; everything else may then run at the same time. What not every
    region tells: `policy`: whose keys; `limits`: of domains and accounts; `logins`: how users log in;
    `roles`: custom ones."""

    def __init__(
        self,
        client: CloudStack,
        policy: KeyPolicy | None = None,
        *,
        limits: bool = False,
        logins: Logins | None = None,
        roles: bool = False,
    ) -> None:
        self._client = client
        self.kinds = tuple(kind for kind in Kind if roles or kind is not Kind.ROLE)
        self._keys = policy or KeyPolicy()
        self.logins = logins
        policies = [self._keys] if logins is None else [self._keys, logins.native, logins.federated]
        self._paths = Paths(client, policies)
        self._limits = limits
        self._details = _WITH_LIMITS if limits else _SLIM
        self._identity: Identity | None = None
        self._names = ("", "")
        self._roles = RoleNames(client)

    @property
    def client(self) -> CloudStack:
        """The client, for changes and for events."""
        return self._client

    @property
    def root(self) -> str:
        """The root domain's UUID."""
        return self._known.root

    @property
    def own_user(self) -> str:
        """Our own user's UUID: events that it caused are echoes."""
        return self._known.user

    @property
    def own_account(self) -> str:
        """Our own account's UUID."""
        return self._known.account

    @property
    def own_user_name(self) -> str:
        """Our own user's name: the event log tells the actor only by name."""
        return self._names[0]

    @property
    def own_account_name(self) -> str:
        """Our own account's name."""
        return self._names[1]

    @property
    def _known(self) -> Identity:
        if self._identity is None:
            raise RuntimeError("Resources.start was not awaited")
        return self._identity

    async def start(self) -> None:
        """Learns who we are and which domain, accounts and roles the region came with: four or five calls.

        Raises the errors of errors.py; Unauthorised also when our account doesn't see the root domain.
        """
        root, own = await root_domain(self._client), await own_user(self._client)
        reserved = await reserved_accounts(self._client, root)
        user, account, *names = (named("getUser", own, key) for key in _OWN)
        shares_keys, role = partial(self._paths.covers, self._keys), own.get("roleid")
        self._identity = Identity(
            root, user, account, reserved, shares_keys, self._limits, role if isinstance(role, str) else ""
        )
        self._names = names[0], names[1]
        await self._roles.read()

    async def read(self, kind: Kind, uuid: str) -> Snapshot:
        """What the region holds of one entity, by one call; `fields` None when it has no such entity.

        CloudStack answers 431 for what it never had and for removed domains and accounts, and an empty list
        for a removed user (cloudstack.md).
        """
        command, item = _LIST[kind]
        params = self._params(kind)
        try:
            inner = await self._client.call(command, {"id": uuid, **params})
        except NotFound:
            return Snapshot(kind, uuid, None)
        found = await self._snapshots(kind, rows(command, inner, item)[:1])
        return found[0] if found else Snapshot(kind, uuid, None)

    async def limit_names(self) -> frozenset[tuple[Kind, str]]:
        """The limits that are told of each kind: by one row of each listing, since an older region knows
        fewer types."""
        found: set[tuple[Kind, str]] = set()
        for kind in (Kind.DOMAIN, Kind.ACCOUNT) if self._limits else ():
            command, item = _LIST[kind]
            listed, _ = await self._client.page(command, self._details, item, (1, 1))
            found |= {(kind, one.field) for row in listed for one in TYPES if one.listed in row}
        return frozenset(pair for pair in found if pair[1] in OPTIONAL[pair[0]])

    async def answered(self, kind: Kind, obj: Mapping[str, Any]) -> Snapshot | None:
        """A change's answer, as a Snapshot; None where it does not tell all that is told of that kind: a
        domain's shows no limits (recordings domain.create, domain.update)."""
        if kind is Kind.DOMAIN and self._limits:
            return None
        return (await self._snapshots(kind, [obj]))[0]

    async def history(self, kind: Kind, uuid: str) -> History:
        """What the region's event log tells of one entity, by one call."""
        return await read_history(self._client, kind, uuid, self._names)

    def snapshot(self, kind: Kind, obj: Mapping[str, Any]) -> Snapshot:
        """An object of the API as a Snapshot, by what is known of the domains."""
        return snapshot(kind, obj, self._known)

    async def page(self, kind: Kind, number: int) -> tuple[list[Snapshot], int]:
        """One page (from 1) of everything of a kind, the root domain and other protected ones too, and the
        count of all: for whoever reads many pages at once."""
        command, item = _LIST[kind]
        found, of = await self._client.page(command, self._params(kind), item, (number, PAGE))
        snapshots = self._listed_roles(found) if kind is Kind.ROLE else self._snapshots(kind, found)
        return await snapshots, of

    async def domains(self) -> AsyncIterator[list[Snapshot]]:
        """Every domain of the region but ROOT, in pages."""
        async for page in self._pages(Kind.DOMAIN, self._details):
            yield [found for found in page if found.uuid != self.root]

    async def accounts(self, domain: str | None = None) -> AsyncIterator[list[Snapshot]]:
        """Every account, or those directly in `domain` (a UUID, or ROOT), in pages and with their users."""
        async for page in self._pages(Kind.ACCOUNT, self._within(domain, self._details)):
            yield [found for found in page if self._is_in(found, domain)]

    async def users(self) -> AsyncIterator[list[Snapshot]]:
        """Every user of the region, in pages."""
        async for page in self._pages(Kind.USER, _EVERYTHING):
            yield page

    async def roles(self) -> AsyncIterator[list[Snapshot]]:
        """Every role of the region with its rules, in pages; the built-in ones without."""
        async for page in self._rows(Kind.ROLE, {}):
            yield await self._listed_roles(page)

    async def role_called(self, name: str) -> Snapshot | None:
        """The role of that name without case, the oldest where there are twins of other types."""
        async for page in self._rows(Kind.ROLE, {"name": name}):
            for row in page:
                if str(row.get("name", "")).casefold() == name.casefold():
                    return next(iter(await self._snapshots(Kind.ROLE, [row])), None)
        return None

    async def subdomains(self, domain: str) -> AsyncIterator[list[Snapshot]]:
        """The domains directly under `domain` (a UUID, or ROOT), in pages; none when it doesn't exist. Their
        limits are not told: this listing shows none."""
        params = {"id": self.domain_id(domain), "isrecursive": "false", **_EVERYTHING}
        async for page in self._pages(Kind.DOMAIN, params, "listDomainChildren"):
            yield [found for found in page if self._is_in(found, domain)]

    async def users_of(self, account: Snapshot) -> AsyncIterator[list[Snapshot]]:
        """The users of `account`, which must be present, in pages: cheap where reading the account is dear.

        CloudStack finds them by the account's name and domain, so an account renamed since then has none.
        """
        if account.fields is None:
            return
        params = self._within(account.fields["parent"], {"account": account.fields["name"], **_EVERYTHING})
        async for page in self._pages(Kind.USER, params):
            yield [found for found in page if found.fields and found.fields["parent"] == account.uuid]

    async def users_in(self, domain: str) -> AsyncIterator[list[Snapshot]]:
        """The users of all accounts directly in `domain` (a UUID, or ROOT), in pages."""
        async for page in self._rows(Kind.USER, self._within(domain, _EVERYTHING)):
            here = [row for row in page if row.get("domainid") == self.domain_id(domain)]
            yield await self._snapshots(Kind.USER, here)

    def domain_id(self, domain: str) -> str:
        """The UUID to send for a `parent` field's domain."""
        return self.root if domain == ROOT else domain

    async def role_id(self, name: str) -> str:
        """The UUID here of the role called `name`. Raises as `RoleNames.uuid`."""
        return await self._roles.uuid(name, fresh=Kind.ROLE in self.kinds)  # where roles change, names do too

    def _params(self, kind: Kind) -> Mapping[str, str]:
        if kind is Kind.ROLE:
            return {}
        return _EVERYTHING if kind is Kind.USER else self._details

    def _within(self, domain: str | None, params: Mapping[str, str]) -> Mapping[str, str]:
        if domain is None:
            return params
        return {**params, "domainid": self.domain_id(domain), "isrecursive": "false"}

    def _is_in(self, found: Snapshot, domain: str | None) -> bool:
        """`listall` may bring what is further below, whatever `isrecursive` says: looked at here."""
        if domain is None:
            return True
        parent = found.fields["parent"] if found.fields else ""
        return self.domain_id(parent) == self.domain_id(domain)

    async def _pages(
        self, kind: Kind, params: Mapping[str, str], command: str = ""
    ) -> AsyncIterator[list[Snapshot]]:
        async for page in self._rows(kind, params, command):
            yield await self._snapshots(kind, page)

    async def _snapshots(self, kind: Kind, found: Sequence[Mapping[str, Any]]) -> list[Snapshot]:
        if kind is Kind.USER:
            await self._paths.learn(found)
        else:
            self._paths.note(found)
        if kind is Kind.ROLE:
            found = [row for one in found if (row := await with_rules(self._client, one)) is not None]
        made = [self.snapshot(kind, row) for row in found]
        if kind is Kind.USER and self.logins is not None:
            return await with_logins(self.logins, self._paths.covers, found, made)
        return made

    async def _listed_roles(self, found: Sequence[Mapping[str, Any]]) -> list[Snapshot]:
        return await listed(found, partial(self._snapshots, Kind.ROLE))

    async def _rows(
        self, kind: Kind, params: Mapping[str, str], command: str = ""
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """A listing's pages; none when the domain that it is asked of does not exist."""
        listing, item = _LIST[kind]
        try:
            async for page in self._client.pages(command or listing, params, item):
                yield page
        except NotFound:
            return
