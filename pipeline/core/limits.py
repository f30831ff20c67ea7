"""Resource limits: CloudStack's types of resources, and one text for each limit.

In: what a region lists, a field of ours. Out: names of fields, texts that are equal where the limits are, and
what CloudStack wants for them. Called by whoever makes snapshots of domains and accounts, and by the plan.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

PREFIX: Final = "limit_"
"""What the names of these fields begin with; CloudStack's own name of the type follows."""

UNLIMITED: Final = "unlimited"
LIMIT_MAX: Final = 2**63 - 1
"""CloudStack keeps a Java long."""
DIGITS_MAX: Final = 32
"""Of a number as it is written: no real one is longer, and it is read exactly."""

_LISTED_UNLIMITED: Final = "Unlimited"
_API_UNLIMITED: Final = -1


@dataclass(frozen=True, slots=True)
class ResourceType:
    """`number`: as updateResourceLimit takes it; `name`: as CloudStack calls it (`resourcetypename`);
    `listed`: by which listAccounts and listDomains show its limit."""

    number: int
    name: str
    listed: str

    @property
    def field(self) -> str:
        return PREFIX + self.name


TYPES: Final = (
    ResourceType(0, "user_vm", "vmlimit"),
    ResourceType(1, "public_ip", "iplimit"),
    ResourceType(2, "volume", "volumelimit"),
    ResourceType(3, "snapshot", "snapshotlimit"),
    ResourceType(4, "template", "templatelimit"),
    ResourceType(5, "project", "projectlimit"),
    ResourceType(6, "network", "networklimit"),
    ResourceType(7, "vpc", "vpclimit"),
    ResourceType(8, "cpu", "cpulimit"),
    ResourceType(9, "memory", "memorylimit"),
    ResourceType(10, "primary_storage", "primarystoragelimit"),
    ResourceType(11, "secondary_storage", "secondarystoragelimit"),
    ResourceType(12, "backup", "backuplimit"),
    ResourceType(13, "backup_storage", "backupstoragelimit"),
    ResourceType(14, "bucket", "bucketlimit"),
    ResourceType(15, "object_storage", "objectstoragelimit"),
    ResourceType(16, "gpu", "gpulimit"),
)
"""All of 4.22 (recordings limit.list, bulk.listAccounts). Memory is in MiB, storage in GiB, in listings and
in updateResourceLimit alike."""

BORROWED: Final = frozenset({"bucket", "object_storage"})
"""Of a domain without a limit of its own 4.22 lists the default of the account that happens to have the
domain's internal number (recording bulk.listDomains; DomainJoinDaoImpl): of these two a domain's listing
tells nothing."""

ACCOUNT_LIMITS: Final = tuple(one.field for one in TYPES)
DOMAIN_LIMITS: Final = tuple(one.field for one in TYPES if one.name not in BORROWED)

NUMBERS: Final[Mapping[str, int]] = MappingProxyType({one.field: one.number for one in TYPES})
"""Field → the type's number."""
FIELD_OF: Final[Mapping[int, str]] = MappingProxyType({one.number: one.field for one in TYPES})


def limit_text(listed: object) -> str | None:
    """The one text for a limit as a region tells it ("Unlimited", "20", 20, "20.0", -1); None for what is no
    limit that could be set elsewhere."""
    if isinstance(listed, bool) or not isinstance(listed, str | int | float) or len(str(listed)) > DIGITS_MAX:
        return None
    if listed == _LISTED_UNLIMITED:
        return UNLIMITED
    try:
        number = Decimal(str(listed))
        if not _API_UNLIMITED <= number <= LIMIT_MAX:  # before it is written out: it may have an exponent
            return None
    except ArithmeticError:  # no number at all
        return None
    whole = int(number)
    if whole != number:
        return None
    return UNLIMITED if whole == _API_UNLIMITED else str(whole)


def api_max(text: str) -> str:
    """The parameter `max` that sets a limit to this text."""
    return str(_API_UNLIMITED) if text == UNLIMITED else text
