"""One simulated region: its state, event log, jobs, sessions and switches, and what tests and benchmarks
ask of it.

Made by `launch`. Everything random in it comes from its seed, so that its UUIDs and keys are the same
every time.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.sandbox.bus import FaultyBus
from pipeline.sandbox.call import Call
from pipeline.sandbox.dump import Dump, dump
from pipeline.sandbox.eventlog import EventLog, Listener
from pipeline.sandbox.faults import Faults
from pipeline.sandbox.jobs import Jobs
from pipeline.sandbox.parameters import load_apis
from pipeline.sandbox.seeding import SERVICE, load, seed_world
from pipeline.sandbox.settings_commands import load_configuration
from pipeline.sandbox.state import User
from pipeline.sandbox.usertable import UserTable
from pipeline.sandbox.world import World

READS = ("list", "get", "query")
VERSION = "4.22.0.0-SNAPSHOT"
"""Of the recorded regions."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of one user of a region. The secret stays out of the repr."""

    apikey: str
    secretkey: str = field(repr=False)
    userid: str = ""
    accountid: str = ""


class Calls:
    """How often each command was called, by the calling account's name ("-" where nobody was known)."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, account: str, command: str) -> None:
        self._counts[account, command] += 1

    def by_command(self, account: str | None = None) -> dict[str, int]:
        """Counts of all callers, or of one account."""
        out: Counter[str] = Counter()
        for (who, command), count in self._counts.items():
            if account is None or who == account:
                out[command] += count
        return dict(out)

    def reads(self, account: str | None = None) -> int:
        """Calls of list*, get* and query* commands."""
        return sum(n for command, n in self.by_command(account).items() if command.startswith(READS))

    def writes(self, account: str | None = None) -> int:
        """All other calls."""
        return sum(n for command, n in self.by_command(account).items() if not command.startswith(READS))

    def clear(self) -> None:
        self._counts.clear()

    def as_dict(self) -> dict[str, object]:
        """As `/sandbox/calls` shows it."""
        accounts = sorted({who for who, _ in self._counts})
        return {
            "commands": self.by_command(),
            "reads": self.reads(),
            "writes": self.writes(),
            "accounts": {who: self.by_command(who) for who in accounts},
        }


@dataclass(eq=False, slots=True)
class Session:
    """A login: its cookie, the key that every call must carry, and until when (ms)."""

    cookie: str
    key: str
    user: User
    until_ms: int


class Region:
    """A region's whole inside. `clock` gives ms since the epoch."""

    def __init__(self, name: str, seed: int, clock: Callable[[], int]) -> None:
        self.name = name
        self.rng = random.Random(f"{seed}/{name}")
        self.fault_rng = random.Random(f"{seed}/{name}/faults")
        self.clock = clock
        self.started_ms = clock()
        self.world = World(self.rng, clock)
        self.log = EventLog()
        self.archived = 0
        self.jobs = Jobs(clock)
        self.faults = Faults()
        self.apis = load_apis()
        self.configuration = load_configuration()
        self.sessions: dict[str, Session] = {}
        self.calls = Calls()
        self.version = VERSION
        self.server_uuid = self.world.new_uuid()
        seeded = seed_world(self.world, self.new_key)
        self.admin = _credentials(seeded["admin"])
        self.service = _credentials(seeded[SERVICE])
        self.system_user = seeded["system"]

    def new_key(self) -> str:
        """An API key or secret key, as long as CloudStack's."""
        return base64.urlsafe_b64encode(self.rng.randbytes(64)).decode().rstrip("=")

    def publish_to(self, target: Listener) -> None:
        """Sends this region's bus messages to `target`, through the fault switches."""
        self.log.listeners.append(FaultyBus(self.faults, self.fault_rng, target).tell)

    def keep_users_in(self, url: str) -> None:
        """The table of users is a real one from now on: its passwords are what users log in by."""
        self.world.passwords.table = UserTable(url)
        for user in self.world.users.values():
            self.world.passwords.keep(user)

    def setting(self, name: str) -> str:
        """A value of the region's own configuration."""
        return str(self.configuration.get(name, {}).get("value", ""))

    def call_as(self, user: User, command: str) -> Call:
        """An empty call of this user."""
        return Call(self, command, user, user.account)

    def dump(self) -> Dump:
        """Comparable contents: see `dump`."""
        return dump(self.world)

    def load(self, domains: int, accounts: int, users: int) -> None:
        """Fills the region at once, without events: for benchmarks."""
        load(self.world, domains, accounts, users)


def _credentials(user: User) -> Credentials:
    return Credentials(user.apikey or "", user.secretkey or "", user.uuid, user.account.uuid)
