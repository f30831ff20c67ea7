"""Carries a plan out: fills in what only the edge knows, and takes each answer as the read-back.

In: a target, its plan, what was read. Out: what the region holds afterwards. Called by apply. Passwords are
made here and nowhere kept: CloudStack takes none that it has itself, and a user sets one by a reset.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from pipeline.agents import roles
from pipeline.agents.desk import Desk
from pipeline.agents.keys import KeyAwaited, Keys
from pipeline.agents.limits import set_limits
from pipeline.agents.naming import minted
from pipeline.agents.passwords import Passwords
from pipeline.cloudstack.errors import NameTaken, NoSuchRole, NotFound, Refused, UuidUsed
from pipeline.core.entities import API_KEY, DISABLED, ENABLED, LOCKED, ROOT, Kind, Snapshot
from pipeline.core.errors import TemporaryError
from pipeline.core.makeshift import STAND_IN, is_stand_in
from pipeline.core.plan import SET_LIMIT, Call, Plan, Target, state_calls
from pipeline.core.records import Desired, Founder

ACCOUNT_TOO: Final = frozenset({"enableUser", "lockUser"})
"""Enabling a user enables its account, locking the last enabled one locks it (CloudStack's
AccountManagerImpl): what the account should be is for its own desired state to say."""
_DOMAIN_PARAMS: Final = ("parentdomainid", "domainid")


class Exclusive(Protocol):
    """Keeps the other lanes off one key."""

    def __call__(self, key: str) -> AbstractAsyncContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Carried:
    """What the region holds after the calls. `removed_at`: in place of a creation, since the entity had been
    created here already, by a worker that died before it could say so, and was removed by somebody since then
    (ms)."""

    after: Snapshot
    removed_at: int | None = None


class ParentGone(TemporaryError):
    """What the entity should be in is not there, or not under that name, though it was seen there: something
    befell it that nobody has read yet, and that no event may ever tell."""


class Found(TemporaryError):
    """What was to be made is there after all: by a worker that died, or a call that answered too late."""

    def __init__(self, actual: Snapshot) -> None:
        super().__init__(f"{actual.kind} {actual.uuid} is there already")
        self.actual = actual


class Caller:
    """Makes the calls of one region."""

    def __init__(self, desk: Desk, exclusive: Exclusive, keys: Keys | None = None) -> None:
        self._desk = desk
        self._keys = keys or Keys(desk, None, None)
        self._passwords = Passwords(desk, self._keys)
        self._exclusive = exclusive

    async def carry_out(self, target: Target, planned: Plan, actual: Snapshot, desired: Desired) -> Carried:
        """Raises as the client does, `ParentGone`, `Awaited`, and `Found`."""
        seen: Snapshot | None = actual
        limits = [call for call in planned.calls if call.command == SET_LIMIT]
        for call in planned.calls[: len(planned.calls) - len(limits)]:  # limits come last
            before = seen or actual
            try:
                answer = await self._made(call, desired, before)
            except UuidUsed as error:
                removed_at = await self._used_up(target, desired)
                if removed_at is None:
                    raise TemporaryError(f"{target.kind} {target.uuid}: {error}") from None
                return Carried(Snapshot(target.kind, target.uuid, None), removed_at)
            except NoSuchRole as error:
                raise await roles.awaited(self._desk, error, before) from None
            except NotFound as error:
                needs_parent = call.command.startswith(("create", "move"))
                raise (ParentGone if needs_parent else TemporaryError)(str(error)) from error
            except KeyAwaited as error:
                raise KeyAwaited(str(error), error.wait_ms, before) from None
            seen = await self._after(target, call, answer, before)
        limited = await set_limits(self._desk.client, limits, self._desk.resources.root, seen)
        seen = limited.seen or await self._desk.resources.read(target.kind, target.uuid)
        if target.kind is Kind.ACCOUNT:
            await self._dismiss_stand_ins(seen)
        limited.check(seen)
        return Carried(seen)

    async def _made(self, call: Call, desired: Desired, before: Snapshot) -> Mapping[str, Any]:
        """The API's answer; none of a change that goes to CloudStack's own database."""
        if call.login:
            await self._passwords.give(call, desired, before)
            return {}
        if call.command in roles.OF_ROLES:
            return await roles.carry_out(self._desk, call)
        return await (self._set_keys if call.key else self._call)(call, desired, before)

    async def _call(self, call: Call, desired: Desired, before: Snapshot) -> Mapping[str, Any]:
        params = dict(call.params)
        for name in _DOMAIN_PARAMS:
            if params.get(name) == ROOT:
                params[name] = self._desk.resources.root
        if call.needs_password:
            params["password"] = f"{secrets.token_urlsafe(30)}-aA1"
        if call.role is not None:
            params["roleid"] = await self._desk.resources.role_id(call.role)
        if call.command == "createAccount":
            return await self._create_account(params, desired)
        if call.command == "createUser":
            return await self._create_user(params, desired)
        if call.command == "moveUser":
            return await self._move_user(params)
        if call.command in ACCOUNT_TOO:
            # Where the user is now: a move of the same plan may come before or after.
            account = (
                before.fields["parent"] if before.fields else (await self._desk.context(desired)).parent_local
            )
            async with self._account_kept(account) as kept:
                if call.command == "lockUser" and (kept.fields or {}).get("state") == DISABLED:
                    # In a disabled account CloudStack does not lock the last enabled user.
                    await self._desk.client.call("enableAccount", {"id": kept.uuid})
                return await self._desk.client.call(call.command, params)
        return await self._desk.client.call(call.command, params)

    async def _set_keys(self, call: Call, desired: Desired, _before: Snapshot) -> Mapping[str, Any]:
        pair = await self._keys.parameters(desired.uuid, call.key)
        answer = await self._desk.client.call(call.command, {**call.params, **pair})
        await self._keys.served(desired.uuid, API_KEY)
        return answer

    async def _create_account(self, params: dict[str, str], desired: Desired) -> Mapping[str, Any]:
        """With its oldest user as the first; with a stand-in where there is none, or it can't be used."""
        founder = await asyncio.to_thread(self._desk.store.founder, desired.uuid)
        client = self._desk.client
        if founder is not None:
            try:
                return await client.call("createAccount", params | founding(founder))
            except Refused:
                snapshot = await self._desk.resources.read(Kind.ACCOUNT, params["accountid"])
                if snapshot.present:
                    raise Found(snapshot) from None
        return await client.call("createAccount", params | _stand_in(params["accountid"]))

    async def _create_user(self, params: dict[str, str], desired: Desired) -> Mapping[str, Any]:
        """CloudStack makes no user in an account that is not enabled: it is, for the moment of the call."""
        try:
            return await self._desk.client.call("createUser", params)
        except (UuidUsed, NameTaken):
            raise
        except Refused:
            context = await self._desk.context(desired)
            account = await self._desk.resources.read(Kind.ACCOUNT, context.parent_local)
            if account.fields is None:
                raise _gone(context.parent_local) from None
            if account.fields["state"] == ENABLED:
                raise
        async with self._account_kept(context.parent_local) as kept:
            await self._desk.client.call("enableAccount", {"id": kept.uuid})
            return await self._desk.client.call("createUser", params)

    async def _move_user(self, params: dict[str, str]) -> Mapping[str, Any]:
        """CloudStack has no clear word for an account that is gone ("this should have been caught ...")."""
        try:
            return await self._desk.client.call("moveUser", params)
        except Refused:
            if (await self._desk.resources.read(Kind.ACCOUNT, params["accountid"])).present:
                raise
            raise _gone(params["accountid"]) from None

    @asynccontextmanager
    async def _account_kept(self, account: str) -> AsyncIterator[Snapshot]:
        """The user's account, whose state is afterwards what it was before.

        Should this worker die inside, the account's own last row, applied once more, sees to it.
        """
        canonical = await asyncio.to_thread(self._desk.store.canonical, [account])
        async with self._exclusive(account):
            before = await self._desk.resources.read(Kind.ACCOUNT, account)
            if before.fields is None:
                raise _gone(account)
            state = before.fields["state"]
            ours = {"state": LOCKED if state == ENABLED else ENABLED}
            await asyncio.to_thread(
                self._desk.store.reopen, canonical.get(account, account), ours, self._desk.clock()
            )
            refusal: Refused | None = None
            try:
                yield before
            except Refused as error:
                refusal = error
                raise
            finally:
                after = await self._desk.resources.read(Kind.ACCOUNT, account)
                if after.fields is None and refusal is not None:
                    raise _gone(account) from refusal
                now = (after.fields or {}).get("state", state)
                for call in state_calls(Kind.ACCOUNT, account, now, state):
                    await self._desk.client.call(call.command, call.params)

    async def _after(
        self, target: Target, call: Call, answer: Mapping[str, Any], before: Snapshot
    ) -> Snapshot | None:
        """The answer as a snapshot; None where it tells nothing and the region must be read."""
        held = answer.get(target.kind.lower())
        if isinstance(held, dict):
            return await self._desk.resources.answered(target.kind, held)
        if call.command == f"delete{target.kind}":
            return Snapshot(target.kind, target.uuid, None)
        if call.command == "moveUser" and before.fields is not None:
            return replace(before, fields={**before.fields, "parent": call.params["accountid"]})
        return None

    async def _used_up(self, target: Target, desired: Desired) -> int | None:
        """A UUID that was ever used in a region can't be used there again (cloudstack.md). It is there after
        all: raises `Found`. We had made it and somebody removed it: says when. Else (the UUID was another
        one's, or a backup was restored) the entity gets another UUID here."""
        mapped = (await self._desk.context(desired)).mapped
        actual = await self._desk.resources.read(target.kind, target.uuid)
        if actual.present:
            raise Found(actual)
        history = await self._desk.resources.history(target.kind, target.uuid)
        if history.made_by_us and history.removed_at is not None:
            return history.removed_at
        await self.mint(desired, target.uuid, mapped)
        return None

    async def mint(self, desired: Desired, used: str, mapped: int | None) -> None:
        """The entity gets another UUID here: `used` was not to be had while its mapping was `mapped`."""
        another = minted(self._desk.region, used)
        await asyncio.to_thread(self._desk.store.mint, desired.uuid, desired.kind, another, mapped)

    async def _dismiss_stand_ins(self, account: Snapshot) -> None:
        for user in account.users:
            if is_stand_in(user):
                await self._desk.client.call("deleteUser", {"id": user.uuid})


def _gone(account: str) -> ParentGone:
    """Whoever asks again finds the user's row waiting for its parent, or replaced by a removal."""
    return ParentGone(f"account {account} is gone just now")


def founding(founder: Founder) -> dict[str, str]:
    """The parameters of an account's creation that name its first user."""
    fields = founder.fields
    params = {name: fields[name] for name in ("firstname", "lastname", "email")}
    params |= {"username": fields["name"], "userid": founder.uuid}
    return params | ({"timezone": fields["timezone"]} if fields.get("timezone") else {})


def _stand_in(account: str) -> dict[str, str]:
    return {
        "username": f"{STAND_IN}{account[:8]}",
        "firstname": "Region",
        "lastname": "Sync",
        "email": "nobody@localhost",
    }
