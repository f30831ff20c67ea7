"""A region as small as can be: entities as dicts, the plan's calls carried out by their meaning.

In: calls as the plan makes them, and what people do there. Out: the entities, and one event for each change,
successful or not. Used by the model of the whole path and by the laws of the plan. Facts: cloudstack.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.core.entities import DISABLED, ENABLED, FIELDS, LOCKED, ROOT, Kind
from pipeline.core.limits import FIELD_OF, UNLIMITED
from pipeline.core.plan import SET_LIMIT, Call

CREATED_AS = {"createDomain": "domainid", "createAccount": "accountid", "createUser": "userid"}
RENAMED = {"username": "name", "newname": "name", "ispublic": "public"}
ROLE_CALLS = frozenset({"createRole", "importRole", "updateRole", "deleteRolePermission"})
STATES = (ENABLED, DISABLED, LOCKED)


class Refused(Exception):
    """The API said no, for good."""


@dataclass
class Region:
    """One region: what it holds, which UUIDs it has ever used, how far its clock is off (ms). `defaults`: the
    limits that it shows of a new domain or account."""

    name: str
    skew: int = 0
    defaults: dict[str, str] = field(default_factory=dict)
    entities: dict[str, dict[str, str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    events: list[tuple[str, int]] = field(default_factory=list)
    calls: int = 0
    """Those that were carried out."""

    def read(self, uuid: str) -> dict[str, str] | None:
        held = self.entities.get(uuid)
        return None if held is None else dict(held)

    def clock(self, now: int) -> int:
        return now + self.skew

    def tell(self, uuid: str, now: int) -> None:
        """The bus: an entity and a whole second, nothing of what changed."""
        self.events.append((uuid, self.clock(now) // 1000 * 1000))

    def put(self, uuid: str, fields: dict[str, str]) -> None:
        """A UUID that was ever used is refused for ever."""
        if uuid in self.used:
            raise Refused("Entity already exists")
        self.used.add(uuid)
        limited = "email" not in fields and "rules" not in fields  # domains and accounts
        self.entities[uuid] = fields | self.defaults if limited else fields

    def execute(self, call: Call, uuid: str = "") -> None:
        """One call by its meaning; `uuid` is the role's that is made, which CloudStack chooses itself. Raises
        `Refused` where CloudStack would."""
        params = dict(call.params)
        if call.command == SET_LIMIT:
            self._set_limit(params)
            return
        if call.command in ROLE_CALLS:
            self._role(call.command, params, uuid)
            self.calls += 1
            return
        if call.command in CREATED_AS:
            uuid = params.pop(CREATED_AS[call.command])
            assert call.needs_password is (call.command != "createDomain")
            self.put(uuid, _created(call, params))
            self.calls += 1
            return
        uuid = params.pop("id", "") or params.pop("domainid")
        if uuid not in self.entities:
            raise Refused(f"{uuid} is unknown")
        self._change(call, uuid, params)
        self.calls += 1

    def _set_limit(self, params: dict[str, str]) -> None:
        """An account is known by its name in its domain alone."""
        name, domain = params.get("account"), params["domainid"]
        found = [
            held
            for uuid, held in self.entities.items()
            if (uuid == domain if name is None else (held["name"], held["parent"]) == (name, domain))
        ]
        if len(found) != 1:
            raise Refused(f"{len(found)} are called {name or domain}")
        most = params["max"]
        found[0][FIELD_OF[int(params["resourcetype"])]] = UNLIMITED if most == "-1" else most
        self.calls += 1

    def _role(self, command: str, params: dict[str, str], made: str) -> None:
        """importRole replaces all but name and type, by which it finds the role."""
        uuid = params.get("id") or params.get("roleid")
        whole = {
            "name": params.get("name", ""),
            "description": params.get("description", ""),
            "type": params.get("type", ""),
            "public": params.get("ispublic", ""),
            "rules": params.get("rules", ""),
            "parent": ROOT,
        }
        if uuid is None:
            assert command == "createRole" or params["rules"]
            self.put(made, whole)
            return
        if uuid not in self.entities:
            raise Refused(f"{uuid} is unknown")
        held = self.entities[uuid]
        if command == "importRole":
            assert whole["rules"]
            if (held["name"], held["type"]) == (whole["name"], whole["type"]):
                held.update(whole)  # else one that was late: it makes another role, which nobody has
        elif command == "deleteRolePermission":
            held["rules"] = ""
        else:
            assert params.keys() - {"id"} and all(params.values()), "updateRole clears nothing"
            held.update({RENAMED.get(name, name): text for name, text in params.items() if name != "id"})

    def _change(self, call: Call, uuid: str, params: dict[str, str]) -> None:
        held = self.entities[uuid]
        verb, kind = _split(call.command)
        if verb == "delete":
            del self.entities[uuid]
        elif verb == "move":
            held["parent"] = params["parentdomainid" if kind is Kind.DOMAIN else "accountid"]
        elif verb == "enable":
            held["state"] = ENABLED
        elif verb == "lock" or params.get("lock") == "true":
            if held["state"] == DISABLED:
                raise Refused("what is disabled can't be locked")
            held["state"] = LOCKED
        elif verb == "disable":
            held["state"] = DISABLED
        else:
            _update(kind, held, params, call.role)


def _split(command: str) -> tuple[str, Kind]:
    for kind in Kind:
        if command.endswith(kind) and command.removesuffix(kind) in (
            "delete", "update", "enable", "disable", "lock", "move",
        ):  # fmt: skip
            verb = command.removesuffix(kind)
            assert verb != "lock" or kind is Kind.USER, "lockAccount is dead"
            return verb, kind
    raise AssertionError(f"no such command: {command}")


def _created(call: Call, params: dict[str, str]) -> dict[str, str]:
    if call.command == "createDomain":
        named = {"name": params["name"], "parent": params["parentdomainid"]}
        return {"networkdomain": params.get("networkdomain", ""), **named}
    if call.command == "createAccount":
        assert call.role is not None
        named = {"name": params["account"], "parent": params["domainid"], "role": call.role}
        return {"networkdomain": params.get("networkdomain", ""), "state": ENABLED, **named}
    fields = {name: params[name] for name in ("firstname", "lastname", "email")}
    named = {"name": params["username"], "parent": params["account"], "state": ENABLED}
    return fields | named | {"timezone": params.get("timezone", "")}


def _update(kind: Kind, held: dict[str, str], params: dict[str, str], role: str | None) -> None:
    if kind is Kind.ACCOUNT and "newname" in params:
        assert "domainid" in params, "without domainid the check for a taken name is skipped"
        del params["domainid"]
    if not params and role is None:
        raise Refused("nothing to update")
    for name, text in params.items():
        field_name = RENAMED.get(name, name)
        assert field_name in FIELDS[kind] and field_name not in ("state", "parent", "role"), name
        held[field_name] = text
    if role is not None:
        held["role"] = role
