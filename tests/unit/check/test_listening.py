"""What is kept of what the bus told, until somebody takes it."""

from __future__ import annotations

import pytest

from pipeline.check.listening import WAITING_MAX, Deaf, Heard


async def test_of_too_much_the_oldest_goes() -> None:
    heard = Heard()
    for number in range(WAITING_MAX + 2):
        heard.put(str(number).encode())
    assert await heard.next() == b"2"


async def test_what_came_before_the_connection_was_lost_is_heard() -> None:
    heard = Heard()
    heard.put(b"one")
    heard.lose(Deaf("gone"))
    assert await heard.next() == b"one"
    with pytest.raises(Deaf, match="gone"):
        await heard.next()
    assert heard.deaf is not None
