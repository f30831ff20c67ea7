"""Reads a call's parameters as CloudStack does, from the descriptions in data/apis.json.

Comes in: names and strings. Goes out: typed values, with the entities that UUIDs name. A wrong one is
refused with 431 before the command runs, so it raises no event. Parameters that a command does not know
are ignored.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from typing import Final

from pipeline.sandbox.call import Call, Value
from pipeline.sandbox.errors import wrong_parameter
from pipeline.sandbox.eventlog import Entity, LoggedEvent
from pipeline.sandbox.jobs import Job
from pipeline.sandbox.world import World

DAY_MS = 86_400_000
_KIND_BY_PARAMETER = {
    "domainid": "Domain",
    "parentdomainid": "Domain",
    "accountid": "Account",
    "userid": "User",
    "roleid": "Role",
    "ruleid": "RolePermission",
    "projectid": "Project",
}
_KIND_IN_COMMAND = (
    ("RolePermission", "RolePermission"),
    ("Role", "Role"),
    ("Domain", "Domain"),
    ("Project", "Project"),
    ("Account", "Account"),
    ("User", "User"),
)
# The field's name in CloudStack's class, where its text shows it in place of the parameter's.
_FIELD_NAMES = {
    ("createDomain", "name"): "domainName",
    ("updateDomain", "name"): "domainName",
    ("createAccount", "account"): "accountName",
    ("createUser", "account"): "accountName",
    ("updateAccount", "newname"): "newName",
}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d))?(Z|[+-]\d\d:?\d\d)?")


_ROWS: Final = frozenset({("importRole", "rules")})
"""Maps whose rows belong together."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of one command."""

    name: str
    type: str
    required: bool
    length: int


@dataclass(frozen=True, slots=True)
class Api:
    """One command's description."""

    name: str
    is_async: bool
    since: str
    description: str
    parameters: tuple[Parameter, ...]


def load_apis() -> dict[str, Api]:
    """Every described command by its exact name."""
    text = resources.files("pipeline.sandbox").joinpath("data/apis.json").read_text("utf-8")
    apis = {}
    for name, row in json.loads(text).items():
        parameters = tuple(Parameter(p["name"], p["type"], p["required"], p["length"]) for p in row["params"])
        apis[name] = Api(name, row["isasync"], row["since"], row["description"], parameters)
    return apis


def parse(call: Call, api: Api, given: dict[str, str]) -> None:
    """Fills `call.values` and `call.touched`. `given` has lower-case names. Raises 431."""
    for parameter in api.parameters:
        lower = parameter.name.lower()
        if (api.name, lower) in _ROWS:
            call.values[lower] = _rows(given, lower)
            continue
        if parameter.type == "map":
            pairs = _pairs(given, lower)
            if pairs:
                call.values[lower] = pairs
            continue
        raw = given.get(lower)
        if raw is None:
            if parameter.required:
                raise wrong_parameter(
                    f"Unable to execute API command {api.name.lower()} due to missing "
                    f"parameter {parameter.name}"
                )
            continue
        value = _value(call, api, parameter, raw)
        if value is not None:
            call.values[lower] = value


def _rows(given: dict[str, str], name: str) -> list[dict[str, str]]:
    """`rules[0].rule=list*&rules[0].permission=allow`, by their numbers."""
    rows: dict[int, dict[str, str]] = {}
    for key, value in given.items():
        found = re.fullmatch(rf"{name}\[(\d+)\]\.(.+)", key)
        if found:
            rows.setdefault(int(found[1]), {})[found[2]] = value
    return [rows[number] for number in sorted(rows)]


def _pairs(given: dict[str, str], name: str) -> dict[str, str]:
    """`accountdetails[0].k1=v1` and `accountdetails[0].key=k1&accountdetails[0].value=v1`."""
    rows: dict[str, dict[str, str]] = {}
    for key, value in given.items():
        found = re.fullmatch(rf"{name}\[(\d+)\]\.(.+)", key)
        if found:
            rows.setdefault(found[1], {})[found[2]] = value
    out: dict[str, str] = {}
    for row in rows.values():
        if set(row) == {"key", "value"}:
            out[row["key"]] = row["value"]
        else:
            out.update(row)
    return out


def _value(call: Call, api: Api, parameter: Parameter, raw: str) -> Value | None:
    kind = parameter.type
    if kind == "uuid":
        return _entity(call, api, parameter, raw)
    if kind == "boolean":
        return raw.lower() == "true"
    if kind in ("integer", "long"):
        return _number(api, parameter, raw)
    if kind == "list":
        return [item for item in raw.split(",") if item]
    if kind == "date":
        return _date(api, parameter, raw)
    if len(raw) > parameter.length:
        shown = _FIELD_NAMES.get((api.name, parameter.name), parameter.name)
        raise wrong_parameter(
            f"Unable to execute API command {api.name.lower()} due to invalid value. "
            f"Value greater than max allowed length {parameter.length} for param: {shown}"
        )
    return raw


def _number(api: Api, parameter: Parameter, raw: str) -> int | None:
    if not raw.strip():
        return None
    try:
        return int(raw)
    except ValueError:
        raise wrong_parameter(
            f"Unable to execute API command {api.name.lower()} due to invalid value {raw} "
            f"for parameter {parameter.name}"
        ) from None


def _date(api: Api, parameter: Parameter, raw: str) -> int:
    """Milliseconds since the epoch; a bare date is its first or, for `enddate`, its last second."""
    found = _DATE.fullmatch(raw.strip())
    try:
        if found is None:
            raise ValueError(raw)
        zone = timezone(_offset(found[7])) if found[7] else UTC
        hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
        when = datetime(int(found[1]), int(found[2]), int(found[3]), hour, minute, second, tzinfo=zone)
    except ValueError:
        raise wrong_parameter(
            f"Unable to parse date {raw} for command {api.name.lower()}, "
            "please pass dates in the format mentioned in the api documentation"
        ) from None
    ms = int(when.timestamp() * 1000)
    return ms + DAY_MS - 1000 if parameter.name == "enddate" and found[4] is None else ms


def _offset(text: str) -> timedelta:
    if text == "Z":
        return timedelta()
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timedelta(minutes=minutes if text[0] == "+" else -minutes)


def _kind(command: str, parameter: str) -> str | None:
    if parameter in ("id", "startid"):
        if command == "listEvents":
            return "Event"
        return next((kind for part, kind in _KIND_IN_COMMAND if part in command), None)
    return "Job" if parameter == "jobid" else _KIND_BY_PARAMETER.get(parameter)


def _entity(call: Call, api: Api, parameter: Parameter, raw: str) -> Entity | LoggedEvent | Job:
    """Removed entities are found too; each command words for itself what it does with one."""
    kind = _kind(api.name, parameter.name)
    if kind == "Job" and raw in call.region.jobs.by_uuid:
        return call.region.jobs.by_uuid[raw]
    if kind == "Event" and raw in call.region.log.by_uuid:
        return call.region.log.by_uuid[raw]
    found = find(call.world, kind, raw, numbers=not api.since)
    if found is None:
        raise wrong_parameter(
            f"Unable to execute API command {api.name.lower()} due to invalid value. Invalid parameter "
            f"{parameter.name} value={raw} due to incorrect long value format, or entity "
            "does not exist or due to "
            "incorrect parameter annotation for the field in api cmd class."
        )
    call.touch(found)
    return found


def find(world: World, kind: str | None, raw: str, numbers: bool) -> Entity | None:
    """By UUID, or for commands older than 3.0 by internal number too."""
    tables = {
        "Domain": world.domains,
        "Account": world.accounts,
        "User": world.users,
        "Role": world.roles,
        "RolePermission": world.permissions,
        "Project": world.projects,
    }
    if kind not in tables:
        return None
    number = world.by_uuid[kind].get(raw)
    if number is None and numbers and raw.isdecimal():
        number = int(raw)
    table: dict[int, Entity] = tables[kind]  # type: ignore[assignment]
    return table.get(number) if number is not None else None
