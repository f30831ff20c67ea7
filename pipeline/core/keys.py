"""Users' API keys: what stands for a pair of them, and in which domains they are carried.

In: keys, paths of domains. Out: fingerprints, and whether a user's keys are the sync's business. Called by
the client when it reads users, and by whoever seals and opens pairs. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FINGERPRINT_DIGITS: Final = 32
"""Hexadecimal: 128 bits, so that no two keys ever have the same one, and none is found from it."""

ROOT_PATH: Final = "/"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A user's two keys. Neither is ever shown."""

    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)


def fingerprint(api_key: str) -> str:
    """Stands for a user's pair of keys wherever it is compared, kept or shown; "" for none. Of the API key
    alone: that is what a region lists."""
    if not api_key:
        return ""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()[:FINGERPRINT_DIGITS]


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """In which domains users' keys are carried. `rules`: a domain's path ("/" is the root domain) → whether
    they are, there and below; the longest path counts, and where none fits they are not. Case does not count,
    as it does not in CloudStack."""

    rules: Mapping[str, bool] = field(default_factory=dict)

    @property
    def everywhere(self) -> bool | None:
        """The same answer for all domains; None where they differ."""
        answers = {self.covers(ROOT_PATH), *self.rules.values()}
        return answers.pop() if len(answers) == 1 else None

    def covers(self, path: str) -> bool:
        """`path`: of the user's domain."""
        rules = {clean(rule): on for rule, on in self.rules.items()}
        place = clean(path)
        while place != ROOT_PATH:
            if place in rules:
                return rules[place]
            place = place.rpartition("/")[0] or ROOT_PATH
        return rules.get(ROOT_PATH, False)


def clean(path: str) -> str:
    """One form for each domain's path: "/a/b", without case."""
    return "/" + "/".join(part for part in path.casefold().split("/") if part)
