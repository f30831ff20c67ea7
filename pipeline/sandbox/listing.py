"""Pages and visibility that all list commands share.

Comes in: a call and an ordered stream of entities. Goes out: the answer's inner object in CloudStack's
three forms: rows with count, count alone (a page beyond the end), or nothing at all (nothing found).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipeline.sandbox import access
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import invalid, wrong_parameter
from pipeline.sandbox.state import Account, Domain

T = TypeVar("T")

MAX_PAGE = 500
ALL = -1
DETAILS = ("all", "resource", "min")


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows to show: `size` None means all."""

    start: int
    size: int | None


def page(call: Call) -> Page:
    """Raises 431 for half a pair, and for more than 500 a page."""
    number, size = call.whole("page"), call.whole("pagesize")
    if number is None and size is not None and size != ALL:
        raise wrong_parameter('"page" parameter is required when "pagesize" is specified')
    if number is not None and size is None:
        raise wrong_parameter('"pagesize" parameter is required when "page" is specified')
    if size is not None and size > MAX_PAGE:
        raise invalid(f"Page size can't exceed max allowed page size value: {MAX_PAGE}")
    if size is None:
        return Page(0, MAX_PAGE)
    if size == ALL:
        return Page(0, None)
    return Page(size * max((number or 1) - 1, 0), size)


def answer(name: str, rows: Sequence[object], count: int) -> Answer:
    """The inner object of a listing."""
    if count == 0:
        return {}
    return {"count": count, name: list(rows)} if rows else {"count": count}


def listed(call: Call, name: str, found: Iterable[T], show: Callable[[T], object], count: int = -1) -> Answer:
    """One page of `found`. With a known `count` only the page itself is walked."""
    wanted = page(call)
    if count < 0:
        found = list(found)
        count = len(found)
    stop = None if wanted.size is None else wanted.start + wanted.size
    return answer(name, [show(one) for one in islice(found, wanted.start, stop)], count)


def matches(keyword: str | None, *texts: str | None) -> bool:
    """A keyword stands anywhere in one of the texts, whatever the case."""
    return keyword is None or any(keyword.casefold() in text.casefold() for text in texts if text)


def same(wanted: str | None, text: str) -> bool:
    """Equality as MySQL has it, without case; nothing wanted fits all."""
    return wanted is None or wanted.casefold() == text.casefold()


def full_details(call: Call) -> bool:
    """Whether `details` asks for resource limits. Raises 431 for an unknown word."""
    words = call.names("details")
    if not words:
        return True
    if any(word not in DETAILS for word in words):
        raise invalid(
            "The details parameter contains a non permitted value. The allowed values "
            f"are [{', '.join(DETAILS)}]"
        )
    return any(word in ("all", "resource") for word in words)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a caller gets: one account's, or those of a domain, alone or with all below; all None is
    everything.
    """

    account: Account | None = None
    domain: Domain | None = None
    below: bool = False

    def holds(self, account: Account) -> bool:
        if self.account is not None:
            return account is self.account
        if self.domain is None:
            return True
        return account.domain.within(self.domain) if self.below else account.domain is self.domain


def scope(call: Call, by_id: bool = False) -> Scope:
    """The scope of listUsers, listEvents, listProjects (source:
    AccountManagerImpl.buildACLSearchParameters).
    """
    caller, domain = call.account, call.entity("domainid", Domain)
    recursive = call.flag("isrecursive")
    if domain is not None:
        if domain.removed:
            raise invalid(f"Unable to find domain by id {domain.id}")
        access.check_domain(caller, domain)
    name = call.text("account")
    if name is not None:
        return Scope(account=_named(call, name, domain or caller.domain))
    if domain is not None:
        return Scope(domain=domain, below=recursive) if caller.admin else Scope(account=caller)
    if not caller.admin or not (call.flag("listall") or by_id):
        return Scope(account=caller)
    return Scope() if caller.root_admin else Scope(domain=caller.domain, below=True)


def _named(call: Call, name: str, domain: Domain) -> Account:
    account = call.world.find_account(name, domain)
    if account is None:
        raise invalid(f"could not find account {name} in domain {domain.uuid}")
    access.check_account(call.account, account)
    return account
