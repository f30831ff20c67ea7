"""What is said in JSON, on the topics and in the database: records, observations, desired states.

In and out: the core's frozen values and bytes. One place, so that what the outbox keeps is byte for byte what
went to Kafka. Every message carries `v`, the version of its form. The only user of msgspec.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from pipeline.core.records import Desired, Observation, Record, RegionState

FORM: Final = 1

T = TypeVar("T")

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What a decoder raises; the last for what is nested deeper than anything real, also where it is skipped."""


class Unreadable(ValueError):
    """The bytes are no message of this form; the text is the reason."""


_AppliedFields = dict[str, str] | None


class _Message(msgspec.Struct, frozen=True):
    v: int
    body: msgspec.Raw


class _Regions(msgspec.Struct, frozen=True):
    """Of a record only what the regions hold, each still to be decoded; all else is skipped."""

    regions: dict[str, msgspec.Raw] = {}


class _RegionsMessage(msgspec.Struct, frozen=True):
    v: int
    body: _Regions


_ENCODER: Final = msgspec.json.Encoder()
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_OBSERVATION: Final = msgspec.json.Decoder(Observation)
_DESIRED: Final = msgspec.json.Decoder(Desired)
_RECORD: Final = msgspec.json.Decoder(Record)
_REGIONS: Final = msgspec.json.Decoder(_RegionsMessage)
_STATE: Final = msgspec.json.Decoder(RegionState)
_FIELDS: Final = msgspec.json.Decoder(_AppliedFields)
_TOLD: Final = msgspec.json.Decoder(dict[str, Any])


def encode(value: Observation | Desired | Record) -> bytes:
    """The message that carries `value`."""
    return _ENCODER.encode(_Message(FORM, msgspec.Raw(_ENCODER.encode(value))))


def observation(data: bytes) -> Observation:
    """Raises `Unreadable`."""
    return _decode(data, _OBSERVATION)


def desired(data: bytes) -> Desired:
    """Raises `Unreadable`."""
    return _decode(data, _DESIRED)


def record(data: bytes) -> Record:
    """Raises `Unreadable`."""
    return _decode(data, _RECORD)


def region_state(data: bytes, region: str) -> RegionState:
    """What `record(data).region(region)` says, at a fraction of its cost: a scan asks this of every entity.
    Raises `Unreadable`."""
    try:
        message = _REGIONS.decode(data)
        if message.v != FORM:
            raise Unreadable(f"message form {message.v} is not {FORM}")
        held = message.body.regions.get(region)
        return RegionState() if held is None else _STATE.decode(held)
    except UNREADABLE as error:
        raise Unreadable(str(error)) from error


def encode_fields(fields: dict[str, str] | None) -> str:
    """An entity's fields alone, as the `applied` table keeps them; absent is `null`."""
    return _ENCODER.encode(fields).decode()


def fields(data: str) -> dict[str, str] | None:
    """Raises `Unreadable`."""
    try:
        found: dict[str, str] | None = _FIELDS.decode(data)
    except UNREADABLE as error:
        raise Unreadable(str(error)) from error
    return found


def encode_told(told: dict[str, Any]) -> bytes:
    """What is kept for a person alone: nothing is computed from it."""
    return _ENCODER.encode(told)


def told(data: bytes) -> dict[str, Any]:
    """Raises `Unreadable`."""
    try:
        return _TOLD.decode(data)
    except UNREADABLE as error:
        raise Unreadable(str(error)) from error


def _decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        message = _MESSAGE.decode(data)
        if message.v != FORM:
            raise Unreadable(f"message form {message.v} is not {FORM}")
        return decoder.decode(message.body)
    except UNREADABLE as error:
        raise Unreadable(str(error)) from error
