"""Carries users' API keys from one region's worker to another's, sealed all the way.

In: a plan's call that needs a pair of keys. Out: the pair, opened for that one call; or `KeyAwaited`, after
the regions that hold it were asked. And the other side: answers what other regions ask of this one. Called by
apply and by the region worker's timer. A pair is in no message, no log and no row but sealed for the one
region that it goes to, and there only until it has served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from pipeline.agents.awaited import Awaited
from pipeline.agents.desk import Desk
from pipeline.core.errors import PermanentError
from pipeline.core.keys import fingerprint
from pipeline.outbox.sealed import Asked, SealedStore
from pipeline.sealing import Ring, Unopenable

LOOK_EVERY_S: Final = 1.0
"""How often a worker looks for questions of other regions."""
WAIT_FIRST_MS: Final = 1_000
WAIT_MOST_MS: Final = 60_000
"""How often a row looks for its answer, which wakes it; and how long a question waits to be asked again,
twice as long each time."""
REFUSED_MS: Final = 60_000
"""So long is a question left alone that this region can't answer though it should hold the keys."""
TRIES_COUNTED: Final = 16

log = logging.getLogger(__name__)


class KeyAwaited(Awaited):
    """The pair is not here yet."""


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
        if self._ring is None or self._store is None:
            raise KeyAwaited("waits for its keys: this worker has no sealing_private_keys", WAIT_MOST_MS)
        found = await asyncio.to_thread(self._store.find, entity)
        if found is None or found.fingerprint != wanted:
            await asyncio.to_thread(self._store.ask, entity, wanted)
            raise KeyAwaited("waits for its keys: asked the regions that hold them", WAIT_FIRST_MS)
        if found.text is None or found.sender is None:
            waited = max(WAIT_FIRST_MS << found.tries, self._desk.clock() - found.asked_time)
            raise KeyAwaited(
                "waits for its keys: no region that holds them has answered yet", min(waited, WAIT_MOST_MS)
            )
        try:
            pair = self._ring.open(found.text, found.sender)
            if fingerprint(pair.api_key) != wanted:
                raise Unopenable("they are other keys than those that were asked for")
        except Unopenable as error:
            tries = min(found.tries + 1, TRIES_COUNTED)
            await asyncio.to_thread(self._store.ask, entity, wanted, tries)
            words = f"waits for its keys: what {found.sender} sealed can't be used ({error}); asked again"
            raise KeyAwaited(words, min(WAIT_FIRST_MS << tries, WAIT_MOST_MS)) from None
        return {"userapikey": pair.api_key, "usersecretkey": pair.secret_key}

    async def served(self, entity: str) -> None:
        """The region has the pair."""
        if self._store is not None:
            await asyncio.to_thread(self._store.forget, entity)

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
        store = self._store
        if store is None or not ring.knows(question.region):
            log.warning("%s asks for keys, and has no sealing_key in the settings here", question.region)
            return False
        try:
            pair = await self._desk.resources.user_keys(question.local)
        except PermanentError as error:
            log.warning("the keys of %s can't be read: %s", question.local, error)
            return False
        if pair is None or fingerprint(pair.api_key) != question.fingerprint:
            return False  # they were changed since: word of that is on its way
        await asyncio.to_thread(store.answer, question, ring.seal(pair, question.region))
        return True
