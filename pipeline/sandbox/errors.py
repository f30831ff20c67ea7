"""How a simulated call fails: one exception that carries what CloudStack's error answer holds.

Raised by every command module, turned into an answer by `dispatch`.
The numbers are CloudStack's: `code` is the HTTP status too, `cs_code` its class of exception.
"""

from __future__ import annotations

PARAM = 431
UNSUPPORTED = 432
INTERNAL = 530
DENIED = 531
UNAUTHORIZED = 401

CS_PLAIN = 9999
CS_RUNTIME = 4250
CS_INVALID = 4350
CS_DENIED = 4365

NOT_VERIFIED = "unable to verify user credentials and/or request signature"


class ApiError(Exception):
    """A refused call. `cs_code` None: the answer has no cserrorcode."""

    def __init__(self, code: int, text: str, cs_code: int | None = CS_PLAIN) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.cs_code = cs_code
        self.uuids: list[dict[str, str]] = []
        self.response_key: str | None = None

    def about(self, uuid: str, what: str) -> ApiError:
        """Adds the entity that the failure is about, as CloudStack's uuidList does."""
        self.uuids.append({"uuid": uuid, "description": what})
        return self

    def under(self, response_key: str) -> ApiError:
        """Answers under this key in place of the command's own."""
        self.response_key = response_key
        return self

    def body(self) -> dict[str, object]:
        """The answer's inner object."""
        out: dict[str, object] = {"uuidList": self.uuids, "errorcode": self.code}
        if self.cs_code is not None:
            out["cserrorcode"] = self.cs_code
        out["errortext"] = self.text
        return out


def invalid(text: str) -> ApiError:
    """InvalidParameterValueException: 431."""
    return ApiError(PARAM, text, CS_INVALID)


def wrong_parameter(text: str) -> ApiError:
    """A parameter refused before the command runs: 431, raises no event."""
    return ApiError(PARAM, text, CS_PLAIN)


def runtime(text: str) -> ApiError:
    """CloudRuntimeException: 530."""
    return ApiError(INTERNAL, text, CS_RUNTIME)


def internal(text: str) -> ApiError:
    """An exception that CloudStack did not foresee: 530."""
    return ApiError(INTERNAL, text, CS_PLAIN)


def denied(text: str) -> ApiError:
    """PermissionDeniedException: 531."""
    return ApiError(DENIED, text, CS_DENIED)


def unauthorized(text: str = NOT_VERIFIED) -> ApiError:
    """Signature, key or session refused: 401."""
    return ApiError(UNAUTHORIZED, text, None)


def already_exists() -> ApiError:
    """A UUID that was ever used in this region: refused for ever."""
    return ApiError(INTERNAL, "Entity already exists ", CS_PLAIN)
