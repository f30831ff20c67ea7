"""The domain commands: create, rename, network domain, move, delete, list.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and DomainManagerImpl of
apache/cloudstack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.sandbox import access, listing, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import ApiError, denied, internal, invalid, runtime
from pipeline.sandbox.jobs import Result
from pipeline.sandbox.state import SYSTEM_ACCOUNT_ID, Domain
from pipeline.sandbox.submit import JobSpec, submit

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_RULES_OF_LABELS = (
    "Each domain label must be between 1 and 63 characters long, can contain ASCII letters 'a' through 'z', "
    "the digits '0' through '9', and the hyphen ('-'); can't start or end with \"-\""
)
BAD_NETWORK_DOMAIN = f"Invalid network domain. Total length shouldn't exceed 190 chars. {_RULES_OF_LABELS}"
_SLASH = "Domain name contains one or more invalid characters.  Please enter a name without '/' characters."
_BAD_AT_CREATION = (
    "Invalid network domain. Total length should not exceed 190 chars. Each domain "
    "label must be between 1 and 63 "
    "characters long. It can contain ASCII letters 'a' through 'z', the digits '0' "
    "through '9', and the hyphen ('-'); "
    'it cannot start or end with "-".'
)


def valid_network_domain(name: str) -> bool:
    """Whether a network domain is one or more DNS labels of at most 190 characters together."""
    return 0 < len(name) <= 190 and all(_LABEL.fullmatch(label) for label in name.split("."))


def create_domain(call: Call) -> Answer:
    name, parent = call.need("name"), call.entity("parentdomainid", Domain)
    words = f"creating Domain. Domain Name: {name}"
    if parent is not None:
        words += f", Parent DomainId :{parent.id}"
    created = call.audited("DOMAIN.CREATE", words, lambda: _create(call, name, parent or call.world.root))
    return {"domain": render.domain(created, created=False)}


def _create(call: Call, name: str, parent: Domain) -> Domain:
    if parent.removed:
        raise invalid(f"Unable to create domain {name}, parent domain {parent.id} not found.")
    access.check_domain(call.account, parent)
    networkdomain = call.text("networkdomain")
    if networkdomain is not None and not valid_network_domain(networkdomain):
        raise invalid(_BAD_AT_CREATION)
    _unique(name, parent)
    if "/" in name:
        raise internal(_SLASH)
    try:
        domain = call.world.add_domain(name, parent, call.account.id, call.text("domainid"))
    except ApiError:
        # recorded: the duplicate UUID is swallowed, what follows stumbles over the domain that is not there
        raise internal('Cannot invoke "com.cloud.domain.DomainVO.getId()" because "domain" is null') from None
    domain.networkdomain = networkdomain
    call.touch(domain)
    return domain


def _unique(name: str, parent: Domain) -> None:
    if name.casefold() in parent.children:
        raise invalid(f"Domain with name [{name}] already exists for the parent with ID [{parent.id}].")


def update_domain(call: Call) -> Answer:
    domain = call.needed("id", Domain)
    words = f"updating Domain. Domain Id: {domain.id}"
    call.audited("DOMAIN.UPDATE", words, lambda: _update(call, domain))
    return {"domain": render.domain(domain)}


def _update(call: Call, domain: Domain) -> None:
    name, networkdomain = call.text("name"), call.text("networkdomain")
    if domain.removed:
        raise invalid("Unable to find domain with specified domain id").about(str(domain.id), "domainId")
    if domain.parent is None and name is not None:
        raise invalid("ROOT domain can not be edited with a new name")
    access.check_domain(call.account, domain)
    if name is not None and domain.parent is not None:
        twin = domain.parent.children.get(name.casefold())
        if twin is not None and twin is not domain:
            raise invalid(
                f"Failed to update specified domain id with name '{name}' since it "
                "already exists in the system"
            ).about(domain.uuid, "domainId")
    if networkdomain and not valid_network_domain(networkdomain):
        raise invalid(BAD_NETWORK_DOMAIN)
    if name is not None:
        call.world.rename_domain(domain, name)
    if networkdomain is not None:
        domain.networkdomain = networkdomain or None


def move_domain(call: Call) -> Answer:
    domain, parent = call.needed("domainid", Domain), call.needed("parentdomainid", Domain)
    call.audited("DOMAIN.MOVE", "moving Domain", lambda: _move(call, domain, parent))
    return {"domain": render.domain(domain)}


def _move(call: Call, domain: Domain, parent: Domain) -> None:
    if domain.parent is None:
        raise invalid("The domain to be moved cannot be the ROOT domain.")
    if domain is parent:
        raise invalid("The domain to be moved and the new parent domain cannot be the same.")
    for one in (domain, parent):
        if one.removed:
            raise invalid(f"No active domain found with the provided ID [{one.id}].")
    if domain.parent is parent:
        raise invalid(
            "The current parent domain of the domain to be moved is equal to the new "
            f"parent domain [{parent}]."
        )
    if parent.within(domain):
        raise invalid("The new parent domain of the domain cannot be one of its children.")
    _unique(domain.name, parent)
    call.world.move_domain(domain, parent)


def delete_domain(call: Call) -> Answer:
    domain, cleanup = call.needed("id", Domain), call.flag("cleanup")
    owner = call.world.accounts[SYSTEM_ACCOUNT_ID if domain.removed else domain.owner_id]
    return submit(
        call,
        JobSpec(
            type="DOMAIN.DELETE",
            command="org.apache.cloudstack.api.command.admin.domain.DeleteDomainCmd",
            scheduled=f"deleting domain: {domain.id}",
            doing=f"deleting Domain. Domain Id: {domain.id}",
            work=lambda: _delete(call, domain, cleanup),
            owner=owner,
            instance_type="Domain",
        ),
    )


def _delete(call: Call, domain: Domain, cleanup: bool) -> Result:
    if domain.removed:
        raise invalid(f"Failed to delete domain {domain.id}, domain not found")
    if domain.parent is None:
        raise denied("Can't delete ROOT domain")
    access.check_domain(call.account, domain)
    if not cleanup and (domain.children or domain.accounts):
        raise runtime(
            f"Delete failed on domain {domain}; Please make sure all users and sub domains "
            "have been removed from the "
            "domain before deleting"
        )
    managed = [p for p in call.world.projects.values() if not p.removed and p.account.domain.within(domain)]
    for project in managed:
        project.removed = True
    call.world.remove_domain(domain)
    return {"success": True}


def list_domains(call: Call) -> Answer:
    limits = listing.full_details(call)
    wanted = call.entity("id", Domain)
    count = -1
    found: Iterable[Domain] = call.world.live_domains.values()
    if wanted is not None:
        if wanted.removed:
            raise invalid(f"Domain id={wanted.id} doesn't exist")
        access.check_domain(call.account, wanted)
        found = [wanted]
    elif not call.account.root_admin:
        own = call.account.domain
        found = call.world.below(own) if call.flag("listall") else [own]
    elif not {"name", "level", "keyword"} & call.values.keys():
        count = len(call.world.live_domains)
    if count < 0:
        found = sorted((one for one in found if _fits(call, one)), key=lambda one: one.id)
    return listing.listed(call, "domain", found, lambda d: render.listed_domain(call.world, d, limits), count)


def _fits(call: Call, domain: Domain) -> bool:
    level = call.whole("level")
    return (
        listing.same(call.text("name"), domain.name)
        and (level is None or domain.level == level)
        and listing.matches(call.text("keyword"), domain.name)
    )


def list_domain_children(call: Call) -> Answer:
    """`isrecursive` counts only without `listall` (source and recorded)."""
    top = call.entity("id", Domain) or call.account.domain
    access.check_domain(call.account, top)
    deep = call.flag("isrecursive") and not call.flag("listall")
    children = [d for d in call.world.below(top) if d is not top] if deep else list(top.children.values())
    name = call.text("name")
    found = [
        one
        for one in sorted(children, key=lambda one: one.id)
        if listing.matches(call.text("keyword"), one.name) and listing.matches(name, one.name)
    ]
    return listing.listed(call, "domain", found, render.domain)
