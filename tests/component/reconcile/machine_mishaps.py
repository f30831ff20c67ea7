"""Everything that may happen to regions and to the pipeline: people's changes, lost events, backups, edits of
a database, deaths of processes, decisions, the passing of time.

In: a world, and a random number generator that chooses what it happens to. Each method is one step of a
schedule; the state machine calls them in an order of hypothesis' own, `schedule` in a seeded one.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from pipeline.agents.apply import Rules
from pipeline.core.removal import HOUR_MS, Limits, Policy
from pipeline.outbox.acting import By
from pipeline.outbox.replays import ReplayStore
from pipeline.reconcile.replaying import Replayer
from pipeline.sandbox.chooser import Chooser
from pipeline.sandbox.dump import protected
from pipeline.sandbox.state import Account, Domain, NewUser, User
from pipeline.sandbox.verbs import INVALID, VALID, create_account, create_domain
from tests.component.reconcile.machine_rig import Runner, Site
from tests.component.reconcile.machine_world import MachineWorld

LOST_SHARE: Final = 0.3
STATES: Final = ("enabled", "disabled", "locked")

T = TypeVar("T")
Step = Callable[[random.Random], Awaitable[None]]


class Mishaps:
    """All steps over one world."""

    def __init__(self, world: MachineWorld, *, nobody_removes: bool = False) -> None:
        """`nobody_removes`: people remove nothing, so whatever goes was lost, and nothing may be removed."""
        self.world = world
        self._nobody_removes = nobody_removes
        self._serial = itertools.count(1)
        self._backups: dict[str, Any] = {}

    # --- people

    async def traffic(self, rng: random.Random) -> None:
        """A few calls in one region, also in one that takes no part yet."""
        site = rng.choice(self.world.sites)
        for _ in range(rng.randint(1, 4)):
            await self._change(site, rng)

    async def decide(self, rng: random.Random) -> None:
        if waiting := self.world.holds():
            self.world.decide(rng.choice(waiting), rng.random() < 0.6)

    async def retry(self, rng: random.Random) -> None:
        self.world.retry()

    async def replay(self, rng: random.Random) -> None:
        """A region is replayed: what is under way by then, or whatever of it is left, goes on by itself."""
        name = rng.choice(self.world.active).region.name
        store = ReplayStore(self.world.engine, name, self.world.clock)
        begun = store.begin("beginning", 0, By("ann", "beginning", self.world.clock()))
        await Replayer(store, stalled_s=0.0).run(begun, *store.touched(0))

    async def machines(self, rng: random.Random) -> None:
        """An account gets machines, or loses them."""
        site = rng.choice(self.world.sites)
        if account := _pick(rng, _accounts(site)):
            account.belongings["vms"] = rng.choice((0, 3))

    # --- the pipeline's own course

    async def deliver(self, rng: random.Random) -> None:
        """Some of what the bus holds arrives, the rest of it never does."""
        site = rng.choice(self.world.active)
        site.relay([rng.random() < LOST_SHARE for _ in range(min(len(site.bus), rng.randint(1, 12)))])

    async def work(self, rng: random.Random) -> None:
        await self.world.step(rng.choice(self.world.active), rng.randint(1, 8))

    async def merge(self, rng: random.Random) -> None:
        await self.world.merge(rng.randint(1, 8))

    async def due(self, rng: random.Random) -> None:
        self.world.clock.ahead += rng.randint(100, 15_000)
        await rng.choice(self.world.active).send_due()

    async def settle(self, rng: random.Random) -> None:
        await self.world.drain()

    # --- accidents

    async def silence(self, rng: random.Random) -> None:
        """A whole stretch is lost, and the event log keeps nothing of it."""
        site = rng.choice(self.world.sites)
        site.bus.clear()
        kept = rng.choice((0, 0, len(site.region.log.rows) // 2))
        log = site.region.log
        log.rows[:] = log.rows[len(log.rows) - kept :]
        log.by_uuid = {one.uuid: one for one in log.rows}
        log.by_type = {}
        for one in log.rows:
            log.by_type.setdefault(one.type, []).append(one)

    async def snapshot(self, rng: random.Random) -> None:
        site = rng.choice(self.world.sites)
        self._backups[site.region.name] = copied(site, state(site))

    async def restore(self, rng: random.Random) -> None:
        """The database of a backup, its event log and its used UUIDs included; nothing is told of it."""
        site = rng.choice(self.world.sites)
        kept = self._backups.get(site.region.name)
        if kept is None:
            return
        region = site.region
        region.world, region.log, region.archived, region.system_user = copied(site, kept)
        region.sessions.clear()

    async def edit(self, rng: random.Random) -> None:
        """Somebody's SQL in a region's database."""
        site = rng.choice(self.world.sites)
        world, word = site.region.world, f"edited{next(self._serial)}"
        one: Any = _pick(rng, [*_users(site), *_accounts(site), *_domains(site)])
        if isinstance(one, User):
            name = rng.choice(("email", "firstname", "timezone", "state"))
            setattr(one, name, rng.choice(STATES) if name == "state" else word)
        elif isinstance(one, Account) and rng.random() < 0.5:
            one.state = rng.choice(STATES)
        elif isinstance(one, Account):
            world.rename_account(one, word)
        elif isinstance(one, Domain):
            world.rename_domain(one, word)

    async def vanish(self, rng: random.Random) -> None:
        """Rows deleted in the database: nobody's removal, though the UUIDs stay used."""
        site = rng.choice(self.world.sites)
        one: Any = _pick(rng, [*_users(site), *_accounts(site), *_domains(site)])
        if isinstance(one, User):
            site.region.world.remove_user(one)
        elif isinstance(one, Account):
            site.region.world.remove_account(one)
        elif isinstance(one, Domain):
            site.region.world.remove_domain(one)

    async def stranger(self, rng: random.Random) -> None:
        """Rows added in the database."""
        site = rng.choice(self.world.sites)
        world, word = site.region.world, f"stranger{next(self._serial)}"
        if (account := _pick(rng, _accounts(site))) is not None and rng.random() < 0.7:
            world.add_user(NewUser(word, "Passw0rd!x", "S", "T", "s@t.org"), account)
        else:
            world.add_domain(word, _pick(rng, _domains(site)) or world.root, 2)

    async def overlap(self, rng: random.Random) -> None:
        """A region has what another one has, under the same UUID or under one of its own."""
        site, other = rng.sample(self.world.sites, 2)
        one: Any = _pick(rng, [*_users(other), *_accounts(other), *_domains(other)])
        if one is not None:
            await self._like(site, one, rng.random() < 0.4)

    async def join(self, rng: random.Random) -> None:
        await self.world.join(rng.choice(self.world.sites))

    async def kill(self, rng: random.Random) -> None:
        """A process will die soon, before or after what it does then takes effect."""
        process = rng.choice(self._runners()).process
        process.left, process.after = rng.randrange(6), rng.random() < 0.5

    async def restart(self, rng: random.Random) -> None:
        await rng.choice(self._runners()).restart()

    async def reform(self, rng: random.Random) -> None:
        """A region's removal policy is another one from now on."""
        site = rng.choice(self.world.active)
        policy = rng.choice((Policy.PROPAGATE, Policy.PROPAGATE, Policy.QUARANTINE, Policy.HOLD))
        site.rules = Rules(limits=Limits(policy, per_hour=rng.choice((None, 2)), quarantine_ms=10 * HOUR_MS))
        await site.restart()

    async def wait(self, rng: random.Random) -> None:
        self.world.clock.ahead += rng.randint(1, 12) * HOUR_MS

    def _runners(self) -> list[Runner]:
        return [self.world.hub, *self.world.active]

    async def _change(self, site: Site, rng: random.Random) -> None:
        self.world.clock.ahead += rng.randint(0, 1500)
        prefix = "all" if rng.random() < 0.3 else site.region.name
        pick = Chooser(site.region.world, rng, prefix, False, True, lambda: next(self._serial))
        verbs, weights = [one for one, _ in VALID], [weight for _, weight in VALID]
        verb: Any = rng.choice(INVALID) if rng.random() < 0.05 else rng.choices(verbs, weights)[0]
        asked = verb(pick) or rng.choice((create_domain, create_account))(pick)
        if self._nobody_removes and asked[0].startswith("delete"):
            return
        await self.world.call(site, asked[0], **asked[1])

    async def _like(self, site: Site, one: Domain | Account | User, same: bool) -> None:
        """By the region's API, with what it is in."""
        if isinstance(one, Domain):
            if one.parent is None:
                return
            await self._like(site, one.parent, same)
            chosen = {"domainid": one.uuid} if same else {}
            parent = _at(site, one.parent)
            if parent is not None:
                await self.world.call(
                    site, "createDomain", name=one.name, parentdomainid=parent.uuid, **chosen
                )
            return
        account = one if isinstance(one, Account) else one.account
        await self._like(site, account.domain, same)
        domain = _at(site, account.domain)
        first = one if isinstance(one, User) else next(iter(account.users.values()), None)
        if domain is None or first is None:
            return
        person = {"username": first.username, "firstname": first.firstname, "lastname": first.lastname}
        person |= {"email": "other@example.org", "password": "Passw0rd!x", "domainid": domain.uuid}
        person |= {"account": account.name} | ({"userid": first.uuid} if same else {})
        if site.region.world.find_account(account.name, domain) is not None:
            await self.world.call(site, "createUser", **person)
            return
        chosen = {"accountid": account.uuid} if same else {}
        await self.world.call(site, "createAccount", accounttype="0", **person, **chosen)


STEPS: Final[tuple[tuple[str, float], ...]] = (
    ("traffic", 10), ("deliver", 6), ("work", 5), ("merge", 4), ("due", 1), ("settle", 2),
    ("silence", 1), ("snapshot", 1), ("restore", 1), ("edit", 2), ("vanish", 1), ("stranger", 1),
    ("overlap", 2), ("join", 0.7), ("kill", 1), ("restart", 0.5), ("reform", 0.5), ("wait", 0.5),
    ("decide", 1), ("retry", 0.5), ("machines", 0.7), ("replay", 1),
)  # fmt: skip
"""Each with its weight in a seeded schedule."""


async def schedule(mishaps: Mishaps, rng: random.Random, steps: int, only: list[int] | None = None) -> None:
    """So many steps, chosen by `rng`. `only`: all but these are left out, to find by hand which of them it
    takes."""
    names, weights = [name for name, _ in STEPS], [weight for _, weight in STEPS]
    for number in range(steps):
        name, seed = rng.choices(names, weights)[0], rng.randrange(1 << 32)
        if only is None or number in only:
            await getattr(mishaps, name)(random.Random(seed))


def _pick(rng: random.Random, found: list[T]) -> T | None:
    return rng.choice(found) if found else None


def _domains(site: Site) -> list[Domain]:
    return [one for one in site.region.world.live_domains.values() if one.parent is not None]


def _accounts(site: Site) -> list[Account]:
    return [one for one in site.region.world.live_accounts.values() if not protected(one)]


def _users(site: Site) -> list[User]:
    return [one for one in site.region.world.live_users.values() if not protected(one.account)]


def _at(site: Site, other: Domain) -> Domain | None:
    """The domain of the same path."""
    if other.parent is None:
        return site.region.world.root
    parent = _at(site, other.parent)
    return None if parent is None else parent.children.get(other.name.casefold())


def state(site: Site) -> Any:
    region = site.region
    return region.world, region.log, region.archived, region.system_user


def copied(site: Site, state: Any) -> Any:
    """What is no part of a database is left out of it: chance, clock, listeners."""
    outside = (site.region.rng, site.region.clock, site.region.log.listeners)
    return copy.deepcopy(state, {id(one): one for one in outside})
