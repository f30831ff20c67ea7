"""How entities look in an answer: the fields, their types and the odd ones out, as recorded.

Comes in: entities. Goes out: plain dicts ready for JSON. Used by every command module.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.sandbox.state import (
    ACCOUNT_TYPE_BY_ROLE_TYPE,
    PROJECT,
    ROOT_ID,
    Account,
    Domain,
    Permission,
    Project,
    Role,
    User,
)
from pipeline.sandbox.world import World

Fields = dict[str, object]

UNLIMITED = -1
# name in a response; number and name in listResourceLimits; default of an account; of a domain there
RESOURCES = (
    ("vm", 0, "user_vm", 20, -1),
    ("ip", 1, "public_ip", 20, -1),
    ("volume", 2, "volume", 20, -1),
    ("snapshot", 3, "snapshot", 20, -1),
    ("template", 4, "template", 20, -1),
    ("project", 5, "project", 10, 50),
    ("network", 6, "network", 20, -1),
    ("vpc", 7, "vpc", 20, -1),
    ("cpu", 8, "cpu", 40, -1),
    ("memory", 9, "memory", 40960, -1),
    ("primarystorage", 10, "primary_storage", 200, -1),
    ("secondarystorage", 11, "secondary_storage", 400, -1),
    ("backup", 12, "backup", 20, 40),
    ("backupstorage", 13, "backup_storage", 400, 800),
    ("bucket", 14, "bucket", 20, 20),
    ("objectstorage", 15, "object_storage", 400, 400),
    ("gpu", 16, "gpu", 20, 20),
)
_BORROWED = ("bucket", "objectstorage")


def when(ms: int) -> str:
    """`2026-11-23T08:15:44+0000`."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}+0000"


def _number(value: int) -> str:
    return "Unlimited" if value == UNLIMITED else str(value)


def _counts(name: str, limit: int, used: int, available: str) -> Fields:
    total: int | float = float(used) if name == "secondarystorage" else used
    return {f"{name}limit": _number(limit), f"{name}total": total, f"{name}available": available}


def _left(name: str, limit: int, used: int) -> str:
    if limit == UNLIMITED:
        return "Unlimited"
    return f"{float(limit - used)}" if name == "secondarystorage" else str(limit - used)


def account_limits(world: World, account: Account, projects: int, leave_out: str | None = None) -> Fields:
    """Root administrators have no limits; others the defaults, and an address limit that is never
    available.
    """
    out: Fields = {}
    for name, number, _, _, _ in RESOURCES:
        if name == leave_out or number in world.unknown_limits:
            continue
        limit = account_limit(world, account, number)
        used = projects if name == "project" else 0
        available = "0" if name == "ip" and limit != UNLIMITED else _left(name, limit, used)
        out.update(_counts(name, limit, used, available))
    return out


def account_limit(world: World, account: Account, number: int) -> int:
    """What was set, else the region's default."""
    if account.root_admin:
        return UNLIMITED
    defaults = {row[1]: row[3] for row in RESOURCES} | world.limit_defaults
    return account.limits.get(number, defaults[number])


def domain_limit(domain: Domain, number: int) -> int:
    """What counts for a domain, and listResourceLimits tells: its own, else that of the nearest domain above
    that has one, else the default (source: ResourceLimitManagerImpl.findCorrectResourceLimitForDomain).
    """
    here: Domain | None = domain
    while here is not None and here.id != ROOT_ID:
        if number in here.limits:
            return here.limits[number]
        here = here.parent
    default = next(row[4] for row in RESOURCES if row[1] == number)
    return UNLIMITED if domain.id == ROOT_ID else default


def domain_limits(world: World, domain: Domain, projects: int) -> Fields:
    """Domains are unlimited unless told, whatever those above have, but for two quirks of 4.22.

    Backup storage shows 800 available below ROOT; bucket and object storage show the default of the
    account that happens to have the domain's internal number (recorded: unlimited where that one is a
    root administrator or gone).
    """
    out: Fields = {}
    for name, number, _, default, _ in RESOURCES:
        if number in world.unknown_limits:
            continue
        limit = UNLIMITED if domain.id == ROOT_ID else domain.limits.get(number, UNLIMITED)
        twin = world.live_accounts.get(domain.id)
        borrowed = name in _BORROWED and limit == UNLIMITED and twin is not None and not twin.root_admin
        if borrowed and domain.id != ROOT_ID:
            limit = default
        used = projects if name == "project" else 0
        available = _left(name, limit, used)
        if name == "backupstorage" and domain.id != ROOT_ID and limit == UNLIMITED:
            available = "800"
        out.update(_counts(name, limit, used, available))
    return out


def domain(entity: Domain, created: bool = True) -> Fields:
    """As createDomain (without `created`), updateDomain, moveDomain and listDomainChildren show it."""
    out: Fields = {"id": entity.uuid, "name": entity.name, "level": entity.level}
    if entity.parent is not None:
        out["parentdomainid"] = entity.parent.uuid
        out["parentdomainname"] = entity.parent.name
    out["haschild"] = bool(entity.children)
    if entity.networkdomain:
        out["networkdomain"] = entity.networkdomain
    out["path"] = entity.path
    if created and entity.parent is not None:
        out["created"] = when(entity.created_ms)
    out["secondarystoragetotal"] = 0.0
    return out


def listed_domain(world: World, entity: Domain, limits: bool) -> Fields:
    """As listDomains shows it; `limits` off is details=min."""
    out = domain(entity)
    out["state"] = "Active"
    if limits:
        used = sum(1 for p in world.projects.values() if not p.removed and p.account.domain.within(entity))
        out.update(domain_limits(world, entity, used))
    out["hasannotations"] = False
    return out


def access_text(value: bool | None) -> str:
    """An API key access switch as text."""
    return "INHERIT" if value is None else ("ENABLED" if value else "DISABLED")


def role_fields(account: Account) -> Fields:
    if account.role is None:
        return {}
    return {"roleid": account.role.uuid, "roletype": account.role.type, "rolename": account.role.name}


def user(entity: User, child: bool = False, full: bool = False) -> Fields:
    """`child`: the user's domain lies below the caller's (listUsers only). `full`: as a root
    administrator sees it.
    """
    account = entity.account
    out: Fields = {
        "id": entity.uuid,
        "username": entity.username,
        "firstname": entity.firstname,
        "lastname": entity.lastname,
        "email": entity.email,
        "created": when(entity.created_ms),
        "state": entity.state,
        "account": account.name,
        "accounttype": account.type,
        "usersource": "native",
        **role_fields(account),
        "domainid": account.domain.uuid,
        "domain": account.domain.name,
    }
    if entity.timezone:
        out["timezone"] = entity.timezone
    if entity.apikey:
        out["apikey"] = entity.apikey
    out["accountid"] = account.uuid
    out["iscallerchilddomain"] = child
    out["isdefault"] = entity.default
    if full:
        out["apikeyaccess"] = access_text(entity.apikeyaccess)
    out["is2faenabled"] = entity.two_factor
    out["is2famandated"] = False
    return out


def account(world: World, entity: Account, access: bool = True, limits: bool = True) -> Fields:
    """`access`: with apikeyaccess (updateAccount and callers below root administrator go without)."""
    out: Fields = {
        "id": entity.uuid,
        "name": entity.name,
        "accounttype": entity.type,
        **role_fields(entity),
        "domainid": entity.domain.uuid,
        "domain": entity.domain.name,
        "domainpath": entity.domain.path,
    }
    if limits:
        used = sum(1 for p in world.projects.values() if not p.removed and p.owner is entity)
        out.update(account_limits(world, entity, used))
        out["vmstopped"] = out["vmrunning"] = 0
    else:
        out["secondarystoragetotal"] = 0.0
    out["state"] = entity.state
    if not entity.default:
        out["created"] = when(entity.created_ms)
    out["user"] = [user(one) for one in entity.users.values()]
    if entity.networkdomain:
        out["networkdomain"] = entity.networkdomain
    if entity.details:
        out["accountdetails"] = dict(entity.details)
    out["isdefault"] = entity.default
    out["groups"] = []
    if access:
        out["apikeyaccess"] = access_text(entity.apikeyaccess)
    return out


def role(entity: Role, listed: bool = True) -> Fields:
    """`listed`: as listRoles shows it, which alone tells default roles."""
    out: Fields = {"type": entity.type}
    if listed:
        out["isdefault"] = entity.default
    out |= {
        "state": "enabled" if entity.enabled else "disabled",
        "id": entity.uuid,
        "name": entity.name,
    }
    if entity.description is not None:
        out["description"] = entity.description
    out["ispublic"] = entity.public
    return out


def permission(entity: Permission, named: bool = False) -> Fields:
    """`named`: with the role's name, as listRolePermissions has it."""
    out: Fields = {"id": entity.uuid, "roleid": entity.role.uuid}
    if named:
        out["rolename"] = entity.role.name
    out["rule"] = entity.rule
    out["permission"] = "allow" if entity.allow else "deny"
    if entity.description is not None:
        out["description"] = entity.description
    return out


def project(world: World, entity: Project) -> Fields:
    limits = account_limits(world, entity.account, 0, leave_out="project")
    return {
        "id": entity.uuid,
        "name": entity.name,
        "displaytext": entity.displaytext,
        "domainid": entity.account.domain.uuid,
        "domain": entity.account.domain.name,
        "owner": [{"account": entity.owner.name}],
        "projectaccountname": entity.account.name,
        "state": entity.state,
        "tags": [],
        **limits,
        "vmstopped": 0,
        "vmrunning": 0,
        "created": when(entity.created_ms),
    }


def account_type(role_type: str) -> int:
    """The account type that goes with a role's type."""
    return ACCOUNT_TYPE_BY_ROLE_TYPE.get(role_type, PROJECT)
