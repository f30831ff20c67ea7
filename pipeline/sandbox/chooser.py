"""Picks what the traffic generator acts on: at random, among what one region holds at that moment.

Comes in: a region's world and a seeded generator. Goes out: domains, accounts, users, roles and fresh
names. Used by `verbs`, made by `traffic`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.sandbox.dump import protected
from pipeline.sandbox.state import Account, Domain, User
from pipeline.sandbox.world import World

T = TypeVar("T")

ROLES = ("User", "Read-Only User - Default", "Support User - Default", "Domain Admin")
MAX_LEVEL = 4
TRIES = 30


@dataclass
class Chooser:
    """Picks targets in one region. `own` keeps to what was born there; `silent` allows what has
    unannounced effects.
    """

    world: World
    rng: random.Random
    prefix: str
    own: bool
    silent: bool
    serial: Callable[[], int]

    def name(self, kind: str) -> str:
        """A name that no other region makes, unless its prefix is shared."""
        return f"{self.prefix}-{kind}{self.serial()}"

    def _pick(self, table: dict[int, T], fits: Callable[[T], bool]) -> T | None:
        """At random: by a few guesses in a large table, else among all."""
        numbers = list(table) if len(table) <= 1000 else []
        for _ in range(TRIES):
            if not table:
                return None
            number = self.rng.choice(numbers) if numbers else self.rng.randint(1, max(table))
            if number in table and fits(table[number]):
                return table[number]
        return None

    def mine(self, name: str) -> bool:
        return not self.own or name.startswith(f"{self.prefix}-")

    def domain(self, fits: Callable[[Domain], bool] = lambda _: True) -> Domain | None:
        """Any but ROOT."""
        return self._pick(
            self.world.live_domains, lambda one: one.parent is not None and self.mine(one.name) and fits(one)
        )

    def place(self) -> Domain:
        """A domain to make something in; ROOT at times."""
        found = self.domain(lambda one: one.level < MAX_LEVEL)
        return self.world.root if found is None or self.rng.random() < 0.2 else found

    def account(self, fits: Callable[[Account], bool] = lambda _: True) -> Account | None:
        """Any that a sync may touch."""
        return self._pick(
            self.world.live_accounts, lambda one: not protected(one) and self.mine(one.name) and fits(one)
        )

    def user(self, fits: Callable[[User], bool] = lambda _: True) -> User | None:
        """Any that a sync may touch."""
        return self._pick(
            self.world.live_users,
            lambda one: not protected(one.account) and self.mine(one.username) and fits(one),
        )

    def role(self) -> str:
        """The UUID of a role that an account anywhere may have."""
        name = self.rng.choice(ROLES)
        return next(role.uuid for role in self.world.roles.values() if role.name == name)
