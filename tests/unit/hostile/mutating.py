"""A small byte fuzzer: recorded messages with random damage. Seeded, so that what it finds is found again.

In: a corpus, a seed, a number of rounds. Out: damaged messages. A round is a few of the damages that parsers
fall over: bits, cut-offs, repeats, splices of two messages, tokens in the middle.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

TOKENS: Final = (
    b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b'"', b"{", b"}", b"[", b"]", b",", b":",
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 40, b"[" * 2_000, b'{"a":' * 2_000, b"x" * 5_000, b"\n",
    b"ROOT",
)  # fmt: skip
LONGEST: Final = 400_000

Damage = Callable[[random.Random, bytes, bytes], bytes]


def damaged(corpus: Sequence[bytes], seed: int, rounds: int) -> Iterator[bytes]:
    """So many messages, each with one to four damages."""
    chance = random.Random(seed)
    for _ in range(rounds):
        body = chance.choice(corpus)
        for _ in range(chance.randint(1, 4)):
            body = chance.choice(DAMAGES)(chance, body, chance.choice(corpus))[:LONGEST]
        yield body


def _place(chance: random.Random, body: bytes) -> int:
    return chance.randint(0, len(body))


def _bit(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    if not body:
        return body
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :]


def _cut(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    return body[: _place(chance, body)]


def _dropped(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    first, last = sorted((_place(chance, body), _place(chance, body)))
    return body[:first] + body[last:]


def _doubled(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    first, last = sorted((_place(chance, body), _place(chance, body)))
    return body[:last] + body[first:last] * chance.randint(1, 3) + body[last:]


def _spliced(chance: random.Random, body: bytes, other: bytes) -> bytes:
    return body[: _place(chance, body)] + other[_place(chance, other) :]


def _token(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    place = _place(chance, body)
    return body[:place] + chance.choice(TOKENS) + body[place:]


def _value(chance: random.Random, body: bytes, _other: bytes) -> bytes:
    """A token in place of what lies between two quotes or commas: it stays JSON more often."""
    marks = [place for place, byte in enumerate(body) if byte in b'",:']
    if len(marks) < 2:
        return body
    place = chance.randrange(len(marks) - 1)
    return body[: marks[place] + 1] + chance.choice(TOKENS) + body[marks[place + 1] :]


DAMAGES: Final[tuple[Damage, ...]] = (_bit, _cut, _dropped, _doubled, _spliced, _token, _value)
