"""What a region's failures mean. Every failure of a call is one of these, and nothing else leaves the
package.

    core TemporaryError (wait and try again)
    ├─ Unreachable       no answer, or none of CloudStack's: refused, reset, timed out, HTML, 5xx
    ├─ Throttled         429: the region asks everybody to slow down
    ├─ Busy              CloudStack answered that it can't just now: database, locks, shortage, restart
    └─ Unauthorised      401 or a refused login: concerns the whole region, not one entity; a person mends it
    core PermanentError (will fail the same way every time)
    ├─ Garbled           what the region tells of one entity can't be understood, nor kept
    └─ Refused           CloudStack said no, in its own words
       ├─ NotFound       no such entity (`param` tells which of the ids, when CloudStack does)
       ├─ NameTaken      another domain, account or user has the name
       ├─ UuidUsed       the UUID was used once in that region, and can never be used there again
       ├─ NotEmpty       a domain that still has something below it
       ├─ BelowItself    a domain that is to be moved below what is below it
       ├─ OverParent     a limit above what the domain that it is in allows
       ├─ RoleInUse      a role that accounts have
       └─ NoSuchRole     an account is to have a role that is not there

A call that failed may have been carried out all the same (a timeout after it was sent, a job given up):
whoever calls again reads first. In: command, HTTP status and body. Out: the error, or None. Called by the
client. The texts come from the recordings (each is a row of tests/unit/cloudstack/test_errors.py) and,
where marked (source), from CloudStack's code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.errors import PermanentError, TemporaryError


class Unreachable(TemporaryError):
    """The region gave no answer, or one that is not CloudStack's."""


class Throttled(TemporaryError):
    """The region asks for a pause of `after_s` seconds."""


class Busy(TemporaryError):
    """CloudStack answered that it can't do this now; its words are the message."""


class Unauthorised(TemporaryError):
    """The region does not accept our credentials or our clock. Nothing is wrong with the entity."""


class Garbled(PermanentError):
    """What the region tells of one entity is no description of it. It is that entity's trouble, not the
    region's: whoever asked goes on with the others."""


class Refused(PermanentError):
    """CloudStack's refusal in its own words; `status` is its HTTP status or the job's error code."""

    def __init__(self, message: str, *, status: int, command: str) -> None:
        super().__init__(message)
        self.status = status
        self.command = command


class NotFound(Refused):
    """The region has no such entity: never had it, or removed it. `param` names the parameter that pointed
    to it, where CloudStack says so: `id` is the entity itself, others are what it depends on."""

    def __init__(self, message: str, *, status: int, command: str) -> None:
        super().__init__(message, status=status, command=command)
        named = _PARAM.search(message)
        self.param = named.group(1) if named else ""


class NameTaken(Refused):
    """The name is another's. Names are compared without case."""


class UuidUsed(Refused):
    """The UUID given for a new entity has been used in this region, perhaps by one long removed."""


class NotEmpty(Refused):
    """The domain has accounts or domains below it."""


class RoleInUse(NotEmpty):
    """A role that accounts have can't be removed, nor get another type."""


class NoSuchRole(Refused):
    """The region has no role of that name, which an account is to have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no role named {name!r}", status=431, command="listRoles")
        self.name = name


class BelowItself(Refused):
    """A domain can't be moved below what is below it here: that has to go elsewhere first."""


class OverParent(Refused):
    """A limit can't be greater than that of the domain above: that has to be raised first."""


_PARAM: Final = re.compile(r"Invalid parameter (\w+) value=")

_NOT_FOUND: Final = re.compile(
    r"entity does not exist"
    r"|unable to find (?:active )?(?:user|account|domain)\b"
    r"|no active domain found|cannot find the role"
    r'|com\.cloud\.user\.Account\..*"account" is null'
    r"|\b(?:user|account|domain)\b.{0,120}(?:doesn't exist|does not exist|not found)",
    re.IGNORECASE | re.DOTALL,
)
_NAME_TAKEN: Final = re.compile(r"^(?!.*\bAPI key\b).*(?:already exists|with the proposed name)", re.I | re.S)
_UUID_USED: Final = re.compile(r"^\s*Entity already exists\s*$")
_DOMAIN_UUID_USED: Final = re.compile(r'DomainVO.*"domain" is null')
_BELOW_ITSELF: Final = re.compile(r"cannot be one of its children")
_OVER_PARENT: Final = re.compile(r"maximum allowed resource limit|exceed", re.IGNORECASE)
"""Of 4.22 a domain's (source: ResourceLimitManagerImpl); of early versions an account's too."""
_NOT_EMPTY: Final = re.compile(r"make sure all users and sub domains have been removed", re.IGNORECASE)

_ROLE_IN_USE: Final = re.compile(r"have role in use")

_OF_COMMAND: Final[Mapping[str, tuple[type[Refused], re.Pattern[str]]]] = {
    "moveDomain": (BelowItself, _BELOW_ITSELF),
    "updateResourceLimit": (OverParent, _OVER_PARENT),
    "createRole": (NameTaken, _NAME_TAKEN),  # no UUID can be given for a role
    "importRole": (NameTaken, _NAME_TAKEN),
    "updateRole": (NameTaken, _NAME_TAKEN),
}

_SYNCED: Final = re.compile(r"(?:create|update|move|enable|lock|disable|delete)(?:Domain|Account|User)$")

_PASSING: Final = re.compile(
    r"deadlock|lock wait|\b(?:acquire|obtain|get)\b.{0,40}\block\b|timed? ?out|communications link|"
    r"\b(?:database|connection|db exception)\b|internal error|try again|retry|concurrent|"
    r"shut(?:ting)? ?down|restart|temporarily|unavailable|too many",
    re.IGNORECASE,
)
"""Words by which an internal error (530) or a failed job shows that it may pass. No recording has one: they
are taken from CloudStack's code (source). All other 530s are verdicts (duplicates, null pointers, dead
calls), and calling one temporary would hold its row back for ever; calling a passing one permanent costs a
retry by hand."""

JOB_FAILED: Final = 2

SHOWN: Final = 60
"""Characters of a name that is not CloudStack's."""
WORDS_MAX: Final = 2_000
"""Characters of CloudStack's words; a stack trace of a page says no more than its beginning."""

_SHORTAGE: Final = frozenset({533, 534})
"""Insufficient capacity and resource unavailable (source: ApiErrorCode)."""

_RETRY_AFTER_MS: Final = re.compile(r"retry after (\d+) ?ms", re.IGNORECASE)

CREDENTIALS_HINT: Final = "check the API key or password, whether its user is enabled, and the clocks"


def failure(command: str, status: int, body: Mapping[str, Any]) -> Exception | None:
    """The error in an answer of CloudStack's own to `command`, None when it succeeded.

    `body` is the whole answer, whose one member is the response.
    """
    name, inner = next(iter(body.items()), ("", {}))
    if not isinstance(inner, dict):
        return Unreachable(f"the answer to {command} ({status}) has no response in it")
    if status == 200 and "errorcode" not in inner:
        # All recorded answers are named so. What something in front of the region (a login wall that speaks
        # JSON) says in its place would else be read as an empty listing: everything removed.
        if name == f"{command.lower()}response":
            return None
        return Unreachable(f"the answer to {command} is another one's: {name[:SHOWN]!r}")
    text = _words(inner.get("errortext"))
    code = inner.get("errorcode")
    if not isinstance(code, int):
        return Unreachable(f"{command} was answered with HTTP {status} and no error code")
    if code == 401 and name == "errorresponse":
        # Bad credentials are answered under the command's own name, an unknown command under this one
        # (recordings err.badsignature, err.unknowncommand).
        return Refused(f"the region knows no command {command}", status=401, command=command)
    return worded(command, code, text)


def job_failure(command: str, job: Mapping[str, Any]) -> Exception | None:
    """The error that the job of `command` ended with (jobstatus 2), in a poll that is answered with 200."""
    if job.get("jobstatus") != JOB_FAILED:
        return None
    result = job.get("jobresult")
    if isinstance(result, dict):
        code, text = result.get("errorcode"), _words(result.get("errortext"))
    else:
        code, text = None, _words(result or "")
    code = code if isinstance(code, int) else job.get("jobresultcode")
    return worded(
        command, code if isinstance(code, int) and code else 530, text or "the job failed without a word"
    )


def _words(said: object) -> str:
    """As text that every log and table takes."""
    text = str(said) if isinstance(said, int | float) else said
    return text[:WORDS_MAX].encode("utf-8", "replace").decode() if isinstance(text, str) else ""


def worded(command: str, code: int, text: str) -> Exception:
    """The error that CloudStack's `code` and `text` mean for `command`."""
    if code == 429:
        told = f": {text}" if text else ""
        return Throttled(f"the region throttles our account{told}", throttled_for_s(text))
    if code == 401 or (code == 531 and command == "login"):
        return Unauthorised(f"not accepted: {text}; {CREDENTIALS_HINT}")
    if code in _SHORTAGE or 500 <= code < 530:
        return Busy(text or f"{command} was answered with error {code}")
    kind = _verdict(command, code, text)
    if kind is Refused and code == 530 and _PASSING.search(text):
        return Busy(text)
    return kind(text or f"{command} was refused with error {code}", status=code, command=command)


def _verdict(command: str, code: int, text: str) -> type[Refused]:
    """Which refusal the text is. But for roles in use, only 431 and 530 have texts that tell more than
    their number."""
    if code not in (431, 530):
        return RoleInUse if _ROLE_IN_USE.search(text) else Refused
    own, words = _OF_COMMAND.get(command, (Refused, None))
    if words is not None and words.search(text):
        return own
    if _UUID_USED.search(text) or (command == "createDomain" and _DOMAIN_UUID_USED.search(text)):
        return UuidUsed
    if _NOT_EMPTY.search(text):
        return NotEmpty
    if _SYNCED.match(command) and _NAME_TAKEN.search(text):
        return NameTaken
    return NotFound if _NOT_FOUND.search(text) else Refused


def throttled_for_s(text: str) -> float:
    """Seconds that a 429 without a Retry-After header asks for: its text says `retry after 250 ms`
    (source)."""
    found = _RETRY_AFTER_MS.search(text)
    return int(found.group(1)[:9]) / 1000 if found else 1.0
