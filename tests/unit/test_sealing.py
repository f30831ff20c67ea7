"""What is sealed is read by the region that it is for, and by nobody on the way."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box

from pipeline.sealing import Ring, Unopenable, check_key, new_pair, public_of

PAIR = ("the-api-key", "the-secret-key")
PRIVATE = {name: new_pair() for name in ("r1", "r2", "r3")}
PUBLIC = {name: public for name, (_, public) in PRIVATE.items()}


def ring(region: str, *private: str, public: dict[str, str] | None = None) -> Ring:
    return Ring(region, private or (PRIVATE[region][0],), PUBLIC if public is None else public)


def test_only_the_region_that_it_is_for_can_open_it() -> None:
    text = ring("r1").seal(PAIR, "r2")
    assert ring("r2").open(text, "r1") == PAIR
    for stranger in (ring("r3"), Ring("r2", (new_pair()[0],), PUBLIC), Ring("r2", (), PUBLIC)):
        with pytest.raises(Unopenable):
            stranger.open(text, "r1")


def test_nobody_else_can_make_one() -> None:
    """Not who may write the database, and not another region under the sender's name."""
    for forged in (ring("r3").seal(PAIR, "r2"), Ring("r1", (new_pair()[0],), PUBLIC).seal(PAIR, "r2")):
        with pytest.raises(Unopenable):
            ring("r2").open(forged, "r1")
    with pytest.raises(Unopenable, match="r9 has no sealing_key"):
        ring("r2").open(ring("r1").seal(PAIR, "r2"), "r9")


def test_nothing_of_the_pair_can_be_read_in_it() -> None:
    text = ring("r1").seal(PAIR, "r2")
    seen = text.encode() + base64.b64decode(text)
    assert not any(part in seen for part in (b"the-api-key", b"the-secret-key", b"dGhlLWFwaS1rZXk"))
    assert text != ring("r1").seal(PAIR, "r2"), "equal pairs look alike"
    assert "the-" not in repr(ring("r1"))


def test_what_was_sealed_for_an_older_key_is_opened_after_a_rotation() -> None:
    old = ring("r1").seal(PAIR, "r2")
    private, public = new_pair()
    rotated = ring("r2", private, PRIVATE["r2"][0])
    assert rotated.open(old, "r1") == PAIR
    new = ring("r1", public=PUBLIC | {"r2": public}).seal(PAIR, "r2")
    assert rotated.open(new, "r1") == PAIR
    with pytest.raises(Unopenable):
        ring("r2", private).open(old, "r1")


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_text_that_was_changed_is_refused(place: int, by: int) -> None:
    closed = bytearray(base64.b64decode(ring("r1").seal(PAIR, "r2")))
    closed[place % len(closed)] ^= by
    with pytest.raises(Unopenable):
        ring("r2").open(base64.b64encode(closed).decode(), "r1")


@given(st.text(max_size=60) | st.just("A" * 5_000))
def test_junk_is_refused(text: str) -> None:
    with pytest.raises(Unopenable):
        ring("r2").open(text, "r1")


@pytest.mark.parametrize("said", [{}, ["a", 1], ["a", None], ["a", "b", "c", "d"], "ab", 1, None])
def test_what_is_no_list_of_texts_is_refused_whoever_sealed_it(said: object) -> None:
    class Odd(Ring):
        def seal_anything(self) -> str:
            closed = Box(self._private[0], self._public["r2"]).encrypt(json.dumps(said).encode())
            return base64.b64encode(closed).decode()

    with pytest.raises(Unopenable):
        ring("r2").open(Odd("r1", (PRIVATE["r1"][0],), PUBLIC).seal_anything(), "r1")


def test_keys_are_checked_and_never_shown() -> None:
    private, public = new_pair()
    assert public_of(private) == public == check_key(public) and private != public
    for wrong in ("", "secret!", base64.b64encode(b"short").decode(), "é"):
        with pytest.raises(ValueError, match="is no sealing key") as error:
            check_key(wrong)
        assert not wrong or wrong not in str(error.value)
    assert ring("r1").knows("r2") and not ring("r1").knows("r9")
    assert ring("r1").is_usable and not Ring("r1", (), PUBLIC).is_usable
