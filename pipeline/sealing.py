"""Seals what a user's login takes (a pair of keys, a password's hash) for one region, so that nobody on the
way can read it: the only user of PyNaCl.

In: texts, and who sends them to whom. Out: text for the database, and the same again in the region that it is
for. Called by the region workers. X25519, XSalsa20 and Poly1305 (`nacl.public.Box`): a text can be read and
made by nobody but the two regions, so whoever may write the database or Kafka can't plant keys of their own
either. Each region's worker has its private keys, the newest first; older ones open what was sealed for them.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey

KEY_BYTES: Final = 32
SEALED_MAX: Final = 4_000
"""A sealed pair of keys has some 330 characters, a hash some 400."""
TEXTS_MAX: Final = 3


class Unopenable(Exception):
    """The text can't be opened here, or is not what was asked for; this says why, and nothing of it."""


class Ring:
    """One region's own private keys (base64), the newest first, and the public keys of all that have one."""

    def __init__(self, region: str, private: Sequence[str], public: Mapping[str, str]) -> None:
        self.region = region
        self._private = [PrivateKey(_bytes(key)) for key in private]
        self._public = {name: PublicKey(_bytes(key)) for name, key in public.items()}

    def __repr__(self) -> str:
        return f"Ring({self.region!r})"

    @property
    def is_usable(self) -> bool:
        """Whether this process holds a private key at all."""
        return bool(self._private)

    def knows(self, region: str) -> bool:
        """Whether anything can be sealed for that region."""
        return region in self._public

    def seal(self, texts: Sequence[str], region: str) -> str:
        """The texts as only `region` can read them. `KeyError` for a region without a public key."""
        said = json.dumps(list(texts)).encode()
        return base64.b64encode(Box(self._private[0], self._public[region]).encrypt(said)).decode()

    def open(self, text: str, sender: str) -> tuple[str, ...]:
        """What `sender` sealed for this region. Raises `Unopenable`."""
        if sender not in self._public:
            raise Unopenable(f"region {sender} has no sealing_key in the settings here")
        if len(text) > SEALED_MAX:
            raise Unopenable(f"more than {SEALED_MAX} characters")
        try:
            closed = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Unopenable("no base64") from None
        for own in self._private:
            try:
                return _texts(Box(own, self._public[sender]).decrypt(closed))
            except (CryptoError, ValueError):
                continue
        raise Unopenable(f"none of this region's private keys and the sealing_key of {sender} open it")


def new_pair() -> tuple[str, str]:
    """A private key, and the public one that belongs to it."""
    private = PrivateKey.generate()
    return base64.b64encode(bytes(private)).decode(), base64.b64encode(bytes(private.public_key)).decode()


def public_of(private: str) -> str:
    """The public key that belongs to a private one. Raises `ValueError`."""
    return base64.b64encode(bytes(PrivateKey(_bytes(private)).public_key)).decode()


def check_key(key: str) -> str:
    """The key as it is. Raises `ValueError` where it is none; its words never show it."""
    _bytes(key)
    return key


def _bytes(key: str) -> bytes:
    try:
        found = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise ValueError("is no sealing key: make a pair with `region-sync sealing-key`")
    return found


def _texts(said: bytes) -> tuple[str, ...]:
    """Raises `ValueError`."""
    found = json.loads(said)
    if not (
        isinstance(found, list) and len(found) <= TEXTS_MAX and all(isinstance(one, str) for one in found)
    ):
        raise ValueError("no texts")
    return tuple(found)
