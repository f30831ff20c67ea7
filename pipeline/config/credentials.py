"""Whose credentials are carried from region to region, by domain. Checked by pydantic when
`pipeline.settings` builds the whole; wrong values raise `ValueError` in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator

from pipeline.config.region import Part
from pipeline.core.keys import clean


class Credentials(Part):
    """One domain and all below it; the longest path counts. `api_keys`: the keys of its users are carried.
    `passwords`: `random`: none is carried, a user that is made has one that nobody knows; `federated`: its
    users log in at identity providers, and are of the same everywhere; `database`: these, and the hashes of
    CloudStack's own passwords."""

    domain: str = Field(min_length=1, max_length=4_000)
    api_keys: bool = False
    passwords: Literal["random", "federated", "database"] = "random"

    @field_validator("domain")
    @classmethod
    def _check_domain(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError(f"{path[:80]!r} is no domain's path: it begins with '/', as /shop/berlin does")
        return path


def check_domains(rules: Iterable[Credentials]) -> None:
    """Raises `ValueError` where two rules are about the same domain."""
    known: set[str] = set()
    for rule in rules:
        if clean(rule.domain) in known:
            raise ValueError(f"credentials: {rule.domain} is there twice (case does not count): keep one")
        known.add(clean(rule.domain))
