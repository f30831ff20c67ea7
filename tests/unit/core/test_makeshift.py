"""What is ours alone is told by its kind, its place and its whole name; nothing else is."""

from __future__ import annotations

import pytest

from pipeline.core.entities import ROOT, Kind, Snapshot
from pipeline.core.makeshift import PROBE, STAND_IN, is_makeshift, is_probe, is_stand_in


@pytest.mark.parametrize(
    ("kind", "name", "parent", "makeshift"),
    [
        (Kind.DOMAIN, f"{PROBE}0123abcd", ROOT, True),
        (Kind.DOMAIN, f"{PROBE}0123abcd", "some-domain", False),
        (Kind.DOMAIN, f"{PROBE}0123abc", ROOT, False),
        (Kind.DOMAIN, f"{PROBE}0123abcde", ROOT, False),
        (Kind.DOMAIN, f"{PROBE}0123abcx", ROOT, False),
        (Kind.DOMAIN, f"{PROBE}0123ABCD", ROOT, False),
        (Kind.DOMAIN, f"{PROBE}٠١٢٣٤٥٦٧", ROOT, False),
        (Kind.DOMAIN, f"{PROBE}0123abcd\n", ROOT, False),
        (Kind.DOMAIN, f"my-{PROBE}0123abcd", ROOT, False),
        (Kind.DOMAIN, f"{STAND_IN}x", ROOT, False),
        (Kind.ACCOUNT, f"{PROBE}0123abcd", ROOT, False),
        (Kind.USER, f"{PROBE}0123abcd", ROOT, False),
        (Kind.USER, f"{STAND_IN}12345678", "some-account", True),
        (Kind.ACCOUNT, f"{STAND_IN}12345678", ROOT, False),
        (Kind.USER, "ann", "some-account", False),
    ],
)
def test_what_is_makeshift(kind: Kind, name: str, parent: str, makeshift: bool) -> None:
    seen = Snapshot(kind, "u", {"name": name, "parent": parent})
    assert is_makeshift(seen) is makeshift
    assert is_probe(seen) is (makeshift and kind is Kind.DOMAIN)
    assert is_stand_in(seen) is (makeshift and kind is Kind.USER)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_absent_is_nobodys(kind: Kind) -> None:
    assert not is_makeshift(Snapshot(kind, "u", None))
