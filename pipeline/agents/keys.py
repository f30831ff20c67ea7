"""Carries what a user's login takes from one region's worker to another's, sealed all the way: a pair of API
keys, a password's hash.

In: a plan's call that needs it. Out: the texts, opened for that one call; or `KeyAwaited`, after the regions
that hold them were asked. And the other side: answers what other regions ask of this one. Called by apply and
by the region worker's timer. Nothing of it is in a message, a log or a row but sealed for the one region that
it goes to, and there only until it has served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.agents.awaited import Awaited
from pipeline.agents.desk import Desk
from pipeline.cloudstack.userkeys import user_keys
from pipeline.core.entities import API_KEY, LOGIN
from pipeline.core.errors import PermanentError
from pipeline.core.keys import fingerprint
from pipeline.core.passwords import NO_HASH, Login, stands_for
from pipeline.outbox.sealed import Asked, SealedStore
from pipeline.sealing import Ring, Unopenable

LOOK_EVERY_S: Final = 1.0
"""How often a worker looks for questions of other regions."""
WAIT_FIRST_MS: Final = 1_000
WAIT_MOST_MS: Final = 60_000
"""How often a row looks for its answer, which wakes it; and how long a question waits to be asked again,
twice as long each time."""
REFUSED_MS: Final = 60_000
"""So long is a question left alone that this region can't answer though it should hold what is asked for."""
TRIES_COUNTED: Final = 16
NAMES: Final = {API_KEY: "keys", LOGIN: "password"}

log = logging.getLogger(__name__)


class KeyAwaited(Awaited):
    """It is not here yet."""


class Keys:
    """One region's side of it. `ring`: None where the region takes no part."""

    def __init__(self, desk: Desk, ring: Ring | None, store: SealedStore | None) -> None:
        self._desk = desk
        self._ring = ring if ring is not None and ring.is_usable else None
        self._store = store
        self._after = 0
        self._left_alone: dict[int, int] = {}

    @property
    def takes_part(self) -> bool:
        return self._ring is not None and self._store is not None

    async def parameters(self, entity: str, wanted: str) -> Mapping[str, str]:
        """What the call needs for the pair with that fingerprint. Raises `KeyAwaited`."""
        api_key, secret_key = await self.handed(entity, API_KEY, wanted)
        return {"userapikey": api_key, "usersecretkey": secret_key}

    async def handed(self, entity: str, field: str, wanted: str) -> Sequence[str]:
        """What stands behind that value of the user's field. Raises `KeyAwaited`."""
        waits = f"waits for its {NAMES[field]}"
        if self._ring is None or self._store is None:
            raise KeyAwaited(f"{waits}: this worker has no sealing_private_keys", WAIT_MOST_MS)
        found = await asyncio.to_thread(self._store.find, entity, field)
        if found is None or found.fingerprint != wanted:
            await asyncio.to_thread(self._store.ask, entity, field, wanted)
            raise KeyAwaited(f"{waits}: asked the regions that hold it", WAIT_FIRST_MS)
        if found.text is None or found.sender is None:
            waited = max(WAIT_FIRST_MS << found.tries, self._desk.clock() - found.asked_time)
            raise KeyAwaited(f"{waits}: no region that holds it has answered yet", min(waited, WAIT_MOST_MS))
        try:
            texts = self._ring.open(found.text, found.sender)
            if _stands_for(field, texts) != wanted:
                raise Unopenable("it is another one than was asked for")
        except Unopenable as error:
            tries = min(found.tries + 1, TRIES_COUNTED)
            await asyncio.to_thread(self._store.ask, entity, field, wanted, tries)
            words = f"{waits}: what {found.sender} sealed can't be used ({error}); asked again"
            raise KeyAwaited(words, min(WAIT_FIRST_MS << tries, WAIT_MOST_MS)) from None
        return texts

    async def served(self, entity: str, field: str) -> None:
        """The region has it."""
        if self._store is not None:
            await asyncio.to_thread(self._store.forget, entity, field)

    async def answer(self) -> None:
        """Seals what other regions ask for and this one holds. Raises `TemporaryError`."""
        if self._ring is None or self._store is None:
            return
        asked, self._after = await asyncio.to_thread(self._store.asked, self._after)
        now = self._desk.clock()
        self._left_alone = {id_: until for id_, until in self._left_alone.items() if until > now}
        for question in asked:
            if question.id not in self._left_alone and not await self._answered(question, self._ring):
                self._left_alone[question.id] = now + REFUSED_MS

    async def _answered(self, question: Asked, ring: Ring) -> bool:
        store, what = self._store, NAMES.get(question.field, question.field)
        if store is None or not ring.knows(question.region):
            log.warning("%s asks for %s, and has no sealing_key in the settings here", question.region, what)
            return False
        try:
            texts = await self._held(question)
        except PermanentError as error:
            log.warning("the %s of %s can't be read: %s", what, question.local, error)
            return False
        if not texts or _stands_for(question.field, texts) != question.fingerprint:
            return False  # changed since: word of that is on its way
        await asyncio.to_thread(store.answer, question, ring.seal(texts, question.region))
        return True

    async def _held(self, question: Asked) -> Sequence[str]:
        """What this region holds; empty for none."""
        if question.field == API_KEY:
            pair = await user_keys(self._desk.client, question.local)
            return () if pair is None else (pair.api_key, pair.secret_key)
        logins = self._desk.resources.logins
        login = None if logins is None else await logins.login(question.local)
        if login is None:
            return ()
        told = login.is_native and question.fingerprint != NO_HASH
        return (login.password if told else "", login.source, login.external)


def _stands_for(field: str, texts: Sequence[str]) -> str | None:
    """The field's value that stands for these; None for what is none."""
    if field == API_KEY:
        return fingerprint(texts[0]) if len(texts) == 2 and all(texts) else None
    return stands_for(Login(*texts)) if field == LOGIN and len(texts) == 3 else None
