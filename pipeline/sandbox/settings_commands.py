"""Configuration, resource limits, and the list of regions that a region keeps about others.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and CloudStack's own.
"""

from __future__ import annotations

import json
from importlib import resources

from pipeline.sandbox import access, listing, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import denied, invalid
from pipeline.sandbox.state import Account, Domain, RegionRow

Row = dict[str, object]

THROTTLING_ENABLED = "api.throttling.enabled"
THROTTLING_INTERVAL = "api.throttling.interval"
THROTTLING_MAX = "api.throttling.max"


def load_configuration() -> dict[str, Row]:
    """The configuration rows that were recorded, by name."""
    text = resources.files("pipeline.sandbox").joinpath("data/configurations.json").read_text("utf-8")
    return {row["name"]: row for row in json.loads(text)}


def throttling(most: int, interval_s: int) -> dict[str, Row]:
    """The rows of a region whose API throttling is on; the recorded one had the first alone, and off (source:
    Config, ApiRateLimitService). They tell of it: what really throttles is a switch of `faults`."""
    values = {THROTTLING_ENABLED: "true", THROTTLING_INTERVAL: str(interval_s), THROTTLING_MAX: str(most)}
    head = {"category": "Advanced", "isdynamic": False, "component": "management-server"}
    return {name: {**head, "name": name, "value": value} for name, value in values.items()}


def list_configurations(call: Call) -> Answer:
    """`name` is matched whole, `keyword` anywhere in name or description."""
    wanted = {word: call.text(word) for word in ("name", "category", "group", "subgroup", "parent")}
    found = [
        row
        for row in call.region.configuration.values()
        if all(listing.same(value, str(row.get(word, ""))) for word, value in wanted.items())
        and listing.matches(call.text("keyword"), str(row["name"]), str(row.get("description", "")))
    ]
    return listing.listed(call, "configuration", found, dict)


def update_configuration(call: Call) -> Answer:
    name, value = call.need("name"), call.text("value")
    words = f"updating configuration.  Name: {name} New Value: {value if value is not None else 'null'}"
    row = call.audited("CONFIGURATION.VALUE.EDIT", words, lambda: _set(call, name, value))
    return {"configuration": dict(row)}


def _set(call: Call, name: str, value: str | None) -> Row:
    row = call.region.configuration.get(name)
    if row is None:
        raise invalid(f"Config parameter with name {name} doesn't exist")
    if value is not None:
        row["value"] = value
    return row


def update_resource_limit(call: Call) -> Answer:
    """On an account by name, or on a domain, which can't have more than the one above (source:
    ResourceLimitManagerImpl.updateResourceLimit)."""
    kind, limit = call.whole("resourcetype"), call.whole("max")
    known = {row[1]: row[2] for row in render.RESOURCES if row[1] not in call.world.unknown_limits}
    domain = call.entity("domainid", Domain)
    account = _limited_account(call, domain)
    if kind not in known:
        raise invalid("Please specify valid resource type")
    limit = -1 if limit is None else limit
    target: Account | Domain = account or domain or call.account
    _check_limit(target, kind, known[kind], limit)
    target.limits[kind] = limit
    call.event(
        "RESOURCE.LIMIT.UPDATE",
        "Completed",
        f"Resource limit updated. Resource Type: {known[kind]}, New Value: {limit}",
        kind="Account" if isinstance(target, Account) else "Domain",
        entity=target,
    )
    return {"resourcelimit": _limit_row(target, kind, known[kind], limit)}


def _check_limit(target: Account | Domain, kind: int, word: str, limit: int) -> None:
    if limit < -1:
        raise invalid("Please specify either '-1' for an infinite limit, or a limit that is at least '0'.")
    if isinstance(target, Account):
        if target.root_admin and limit != -1:
            raise invalid("Only -1 limit is supported for Root Admin accounts")
        return
    if target.parent is None:
        raise denied(f"Cannot update resource limit for ROOT domain {target.id}, permission denied")
    most = render.domain_limit(target.parent, kind)
    if 0 <= most < limit:
        raise invalid(
            f"Domain {target.name}(id: {target.parent.id}) has maximum allowed resource limit {most} for "
            f"{word}, please specify a value less than or equal to {most}"
        )


def _limited_account(call: Call, domain: Domain | None) -> Account | None:
    name = call.text("account")
    if domain is not None:
        access.check_domain(call.account, domain)
    if name is None:
        return None
    account = call.world.find_account(name, domain or call.account.domain)
    if account is None:
        raise invalid(f"Unable to find account by name {name} in domain with specified id")
    access.check_account(call.account, account)
    return account


def _limit_row(target: Account | Domain, kind: int, word: str, limit: int) -> Row:
    out: Row = {"account": target.name} if isinstance(target, Account) else {}
    domain = target.domain if isinstance(target, Account) else target
    return {
        **out,
        "domainid": domain.uuid,
        "domain": domain.name,
        "domainpath": domain.path,
        "resourcetype": str(kind),
        "resourcetypename": word,
        "max": limit,
    }


def list_resource_limits(call: Call) -> Answer:
    """An account's or a domain's limits; without either, the caller's."""
    domain = call.entity("domainid", Domain)
    account = _limited_account(call, domain)
    target: Account | Domain = account or domain or call.account
    kind, word = call.whole("resourcetype"), call.text("resourcetypename")
    rows = [
        _limit_row(target, number, name, _limit(call, target, number))
        for _, number, name, _, _ in sorted(render.RESOURCES, key=lambda row: row[1])
        if (kind is None or number == kind) and listing.same(word, name)
        if number not in call.world.unknown_limits
    ]
    return listing.listed(call, "resourcelimit", rows, dict)


def _limit(call: Call, target: Account | Domain, number: int) -> int:
    if isinstance(target, Account):
        return render.account_limit(call.world, target, number)
    return render.domain_limit(target, number)


def list_regions(call: Call) -> Answer:
    number = call.whole("id")
    found = [
        row
        for row in call.world.region_rows.values()
        if (number is None or row.id == number)
        and listing.same(call.text("name"), row.name)
        and listing.matches(call.text("keyword"), row.name)
    ]
    return listing.listed(call, "region", found, _region)


def _region(row: RegionRow) -> Row:
    return {
        "id": row.id,
        "name": row.name,
        "endpoint": row.endpoint,
        "gslbserviceenabled": True,
        "portableipserviceenabled": False,
    }


def add_region(call: Call) -> Answer:
    number = call.whole("id") or 0
    if number in call.world.region_rows:
        raise invalid(f"Region with id: {number} already exists")
    row = call.world.region_rows[number] = RegionRow(number, call.need("name"), call.need("endpoint"))
    return {"region": _region(row)}


def update_region(call: Call) -> Answer:
    number = call.whole("id") or 0
    row = call.world.region_rows.get(number)
    if row is None:
        raise invalid(f"Region with id: {number} does not exist")
    row.name = call.text("name") or row.name
    row.endpoint = call.text("endpoint") or row.endpoint
    return {"region": _region(row)}


def remove_region(call: Call) -> Answer:
    number = call.whole("id") or 0
    if call.world.region_rows.pop(number, None) is None:
        raise invalid(f"Failed to delete Region: {number}, Region not found")
    return {"success": True}
