"""The state of one simulated region with its indexes: everything that changes an entity goes through
here.

Comes in: entities' values. Goes out: entities. Used by the command modules, `load` and `seeding`. Every
look-up is by an index, so that a call costs the same with 10 users and with 100,000. Removed entities
stay in the UUID and number indexes, since CloudStack finds them there and refuses their UUIDs for ever.
"""

from __future__ import annotations

import itertools
import random
import uuid as uuids
from collections.abc import Callable, Iterator

from pipeline.sandbox import errors
from pipeline.sandbox.passwords import Passwords, stored
from pipeline.sandbox.state import (
    Account,
    Domain,
    NewAccount,
    NewUser,
    Permission,
    Project,
    RegionRow,
    Role,
    User,
)


class World:
    """Domains, accounts, users, roles and projects of one region. `rng` makes its UUIDs, `clock` its
    times (ms).
    """

    def __init__(self, rng: random.Random, clock: Callable[[], int]) -> None:
        self.rng = rng
        self.clock = clock
        self.domains: dict[int, Domain] = {}
        self.accounts: dict[int, Account] = {}
        self.users: dict[int, User] = {}
        self.live_domains: dict[int, Domain] = {}
        self.live_accounts: dict[int, Account] = {}
        self.live_users: dict[int, User] = {}
        self.roles: dict[int, Role] = {}
        self.permissions: dict[int, Permission] = {}
        self.projects: dict[int, Project] = {}
        self.region_rows: dict[int, RegionRow] = {}
        self.limit_defaults: dict[int, int] = {}
        """Of accounts, by the type's number, where another one than 4.22 comes with (`max.account.…`)."""
        self.unknown_limits: frozenset[int] = frozenset()
        """Types that this region is too old for."""
        self.passwords = Passwords()
        self.by_uuid: dict[str, dict[str, int]] = {
            kind: {} for kind in ("Domain", "Account", "User", "Role", "RolePermission", "Project")
        }
        self.users_by_apikey: dict[str, User] = {}
        self._users_by_name: dict[str, dict[int, User]] = {}
        self._accounts_by_name: dict[tuple[int, str], dict[int, Account]] = {}
        self._numbers = {kind: itertools.count(1) for kind in self.by_uuid}

    def new_uuid(self) -> str:
        """A random UUID of this region's own seed."""
        return str(uuids.UUID(int=self.rng.getrandbits(128), version=4))

    def number(self, kind: str) -> int:
        """The next internal number. A failed insert uses one up too, as in MySQL."""
        return next(self._numbers[kind])

    def _claim(self, kind: str, uuid: str | None) -> tuple[int, str]:
        number = self.number(kind)
        chosen = uuid or self.new_uuid()
        if chosen in self.by_uuid[kind]:
            raise errors.already_exists()
        self.by_uuid[kind][chosen] = number
        return number, chosen

    # domains
    @property
    def root(self) -> Domain:
        return self.domains[1]

    def add_domain(self, name: str, parent: Domain | None, owner_id: int, uuid: str | None = None) -> Domain:
        """Raises `errors.already_exists` for a UUID that was ever used."""
        number, chosen = self._claim("Domain", uuid)
        domain = Domain(number, chosen, name, parent, owner_id, self.clock())
        self.domains[number] = self.live_domains[number] = domain
        if parent is not None:
            parent.children[name.casefold()] = domain
        return domain

    def rename_domain(self, domain: Domain, name: str) -> None:
        if domain.parent is not None:
            domain.parent.children.pop(domain.name.casefold(), None)
            domain.parent.children[name.casefold()] = domain
        domain.name = name

    def move_domain(self, domain: Domain, parent: Domain) -> None:
        if domain.parent is not None:
            domain.parent.children.pop(domain.name.casefold(), None)
        domain.parent = parent
        parent.children[domain.name.casefold()] = domain

    def remove_domain(self, domain: Domain) -> None:
        """Takes the domain with everything below it: silently, as CloudStack's cleanup does."""
        for child in list(domain.children.values()):
            self.remove_domain(child)
        for account in list(domain.accounts.values()):
            self.remove_account(account)
        domain.removed = True
        self.live_domains.pop(domain.id, None)
        if domain.parent is not None:
            domain.parent.children.pop(domain.name.casefold(), None)

    def below(self, domain: Domain) -> Iterator[Domain]:
        """The domain and all below it."""
        yield domain
        for child in domain.children.values():
            yield from self.below(child)

    # accounts
    def add_account(self, new: NewAccount) -> Account:
        """Raises `errors.already_exists` for a UUID that was ever used."""
        number, chosen = self._claim("Account", new.uuid)
        account = Account(number, chosen, new.name, new.domain, new.role, new.type, self.clock())
        account.networkdomain = new.networkdomain or None
        account.details = dict(new.details)
        self.accounts[number] = self.live_accounts[number] = account
        new.domain.accounts[number] = account
        new.role.accounts += 1
        self._name_index(account)[number] = account
        return account

    def _name_index(self, account: Account) -> dict[int, Account]:
        return self._accounts_by_name.setdefault((account.domain.id, account.name.casefold()), {})

    def rename_account(self, account: Account, name: str) -> None:
        self._name_index(account).pop(account.id, None)
        account.name = name
        self._name_index(account)[account.id] = account

    def change_role(self, account: Account, role: Role) -> None:
        if account.role is not None:
            account.role.accounts -= 1
        role.accounts += 1
        account.role = role

    def find_accounts(self, name: str, domain: Domain) -> list[Account]:
        """Accounts of that name, without case; more than one after an unchecked rename."""
        return list(self._accounts_by_name.get((domain.id, name.casefold()), {}).values())

    def find_account(self, name: str, domain: Domain) -> Account | None:
        found = self.find_accounts(name, domain)
        return found[0] if found else None

    def remove_account(self, account: Account) -> None:
        """Takes its users along, silently."""
        for user in list(account.users.values()):
            self.remove_user(user)
        account.removed = True
        self.live_accounts.pop(account.id, None)
        account.domain.accounts.pop(account.id, None)
        self._name_index(account).pop(account.id, None)
        if account.role is not None:
            account.role.accounts -= 1

    def undo_account(self, account: Account) -> None:
        """Rolls an account back whose first user could not be made: its UUID is free again, its number is
        not.
        """
        self.remove_account(account)
        self.accounts.pop(account.id, None)
        self.by_uuid["Account"].pop(account.uuid, None)

    # users
    def add_user(self, new: NewUser, account: Account) -> User:
        """Raises `errors.already_exists` for a UUID that was ever used."""
        number, chosen = self._claim("User", new.uuid)
        user = User(
            number, chosen, new.username, new.firstname, new.lastname, new.email, account, self.clock(),
            stored(new.password), new.timezone or None,
        )  # fmt: skip
        self._index_user(user)
        return user

    def _index_user(self, user: User) -> None:
        self.users[user.id] = self.live_users[user.id] = user
        user.account.users[user.id] = user
        self.passwords.keep(user)
        self._users_by_name.setdefault(user.username.casefold(), {})[user.id] = user

    def rename_user(self, user: User, username: str) -> None:
        self._users_by_name[user.username.casefold()].pop(user.id, None)
        user.username = username
        self.passwords.keep(user)
        self._users_by_name.setdefault(username.casefold(), {})[user.id] = user

    def find_users(self, username: str) -> list[User]:
        """Every live user of that name, without case, in any domain, in the order of creation."""
        found = self._users_by_name.get(username.casefold(), {})
        return [found[number] for number in sorted(found)]

    def find_user(self, username: str, domain: Domain) -> User | None:
        return next((u for u in self.find_users(username) if u.account.domain is domain), None)

    def set_keys(self, user: User, apikey: str, secretkey: str) -> None:
        if user.apikey:
            self.users_by_apikey.pop(user.apikey, None)
        user.apikey, user.secretkey = apikey, secretkey
        self.users_by_apikey[apikey] = user

    def remove_user(self, user: User) -> None:
        user.removed = True
        self.passwords.keep(user)
        self.live_users.pop(user.id, None)
        user.account.users.pop(user.id, None)
        self._users_by_name[user.username.casefold()].pop(user.id, None)
        if user.apikey:
            self.users_by_apikey.pop(user.apikey, None)

    def move_user(self, user: User, account: Account) -> User:
        """As CloudStack does it: the old row dies under a new UUID, a new row lives on under the old one.

        The new row's time zone is UTC where the old one had none (recorded in move.user.read).
        """
        apikey, secretkey, password = user.apikey, user.secretkey, self.passwords.held(user)
        self.remove_user(user)
        uuid, user.uuid = user.uuid, self.new_uuid()
        user.apikey = user.secretkey = None
        self.by_uuid["User"][user.uuid] = user.id
        self.passwords.keep(user)  # under its new UUID, before the old one is another row's
        number = self.number("User")
        self.by_uuid["User"][uuid] = number
        moved = User(
            number, uuid, user.username, user.firstname, user.lastname, user.email, account, self.clock(),
            password, user.timezone or "UTC", user.state,
        )  # fmt: skip
        moved.two_factor = user.two_factor
        self._index_user(moved)
        if apikey and secretkey:
            self.set_keys(moved, apikey, secretkey)
        return moved

    # roles and projects
    def add_role(self, name: str, type_: str, description: str | None, uuid: str | None = None) -> Role:
        number, chosen = self._claim("Role", uuid)
        self.roles[number] = role = Role(number, chosen, name, type_, description)
        return role

    def add_permission(
        self, role: Role, rule: str, allow: bool, description: str | None = None
    ) -> Permission:
        number, chosen = self._claim("RolePermission", None)
        permission = Permission(number, chosen, role, rule, allow, description)
        self.permissions[number] = permission
        role.permissions.append(permission)
        return permission

    def remove_permission(self, permission: Permission) -> None:
        self.permissions.pop(permission.id, None)
        permission.role.permissions.remove(permission)

    def add_project(self, name: str, displaytext: str, owner: Account) -> Project:
        """Makes the project's own account too; that one is in no listing."""
        number, chosen = self._claim("Project", None)
        account_number, account_uuid = self._claim("Account", None)
        account = Account(
            account_number, account_uuid, f"PrjAcct-{name}-{number}", owner.domain, None, 5, self.clock()
        )
        self.accounts[account_number] = account
        project = Project(number, chosen, name, displaytext, owner, account, self.clock())
        self.projects[number] = project
        return project
