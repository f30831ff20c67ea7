"""What plan decides about, put together from a desired state and what is known of the region.

In: a desired state in canonical UUIDs, its context, what was read. Out: the same in the region's own UUIDs,
and back. Pure; called by apply, and by whoever shows a plan.
"""

from __future__ import annotations

from pipeline.core.entities import Fields, Kind, Snapshot
from pipeline.core.plan import Target, latest
from pipeline.core.records import Desired
from pipeline.outbox.region import Context


def in_local(fields: Fields | None, context: Context) -> Fields | None:
    """The fields with the parent's UUID as this region knows it."""
    if fields is None:
        return None
    if "parent" not in fields:
        return fields
    return {**fields, "parent": context.parents.get(fields["parent"], fields["parent"])}


def in_canonical(fields: Fields | None, context: Context) -> dict[str, str] | None:
    """What was read, as the hub will know it."""
    if fields is None:
        return None
    canonical = {local: uuid for uuid, local in context.parents.items()}
    return {**fields, "parent": canonical.get(fields["parent"], fields["parent"])}


def target_of(desired: Desired, context: Context, actual: Snapshot) -> Target:
    """What plan decides about, in the region's own UUIDs."""
    parent_domain = context.parent_domain_local
    known, applied = latest(desired.known, desired.settled, context.applied, context.applied_version)
    return Target(
        kind=desired.kind,
        uuid=context.local,
        actual=actual.fields,
        wanted=in_local(desired.fields, context),
        known=in_local(known, context),
        applied=in_local(applied, context),
        held=context.present,
        domain=parent_domain if desired.kind is Kind.USER else context.parent_local,
        account=context.parent_name if desired.kind is Kind.USER else "",
    )
