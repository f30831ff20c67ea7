"""Strategies for values that JSON and YAML can say and no program expects, and the worst of them as bytes."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CALM = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""However busy the machine is, and with the same examples each time: what is once found becomes a case."""

NUL, HALF = "\0", "\ud800"
DEEP = 100_000
"""Deeper than any parser recurses."""

TEXT = (
    st.text(st.characters(), max_size=12)
    | st.sampled_from(["", NUL, HALF, f"a{NUL}b", f"a{HALF}", "\u202e", "😀", "ROOT", "null", "-1", "NaN"])
    | st.sampled_from([300, 70_000]).map(lambda length: "x" * length)
)
NUMBERS = st.integers() | st.sampled_from([10**30, -(10**30), 10**400, 2**63, -(2**63) - 1, 2**53 + 1, 1e308])
LEAVES = st.none() | st.booleans() | NUMBERS | st.floats() | TEXT
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)

BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "a deep list": b"[" * DEEP,
    "a deep list that ends": b"[" * DEEP + b"]" * DEEP,
    "a deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a number of 5,000 digits": b"9" * 5_000,
    "a number of 4,000 digits": b"9" * 4_000,
    "no number": b"NaN",
    "half a pair": b'"\\ud800"',
    "a NUL": b'"\\u0000"',
    "raw NULs": b"\0" * 1_000,
    "no UTF-8": b"\xff\xfe\xfa",
    "UTF-16": '{"v":1}'.encode("utf-16"),
    "10 MB of text": b'"' + b"x" * 10_000_000 + b'"',
    "a million keys": b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}",
}


def within(outer: bytes, bomb: bytes) -> bytes:
    """`outer` with the bomb in place of its first `?`."""
    return outer.replace(b"?", bomb, 1)


def dumped(value: Any) -> bytes:
    """As JSON that anybody may send: half pairs as escapes, infinities as words."""
    return json.dumps(value).encode()


@contextmanager
def bounded(mib: int) -> Iterator[None]:
    """No more memory than that is taken inside, beyond the most that this process ever had."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < mib, f"{grown:.0f} MiB"
