"""Options for librdkafka that show none of their values until a client is made with them.

In: what YAML said. Out: a mapping for `Producer({**options, …})`; its text names the keys alone. Built by
pydantic when `pipeline.settings` builds the whole; a wrong option about access is a `ValueError`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from pipeline.core.access import Access, parse


class KafkaOptions(Mapping[str, str]):
    """Read-only. A value leaves it only by being asked for."""

    def __init__(self, options: Mapping[str, SecretStr] | None = None) -> None:
        self._options = dict(options or {})

    def __getitem__(self, key: str) -> str:
        return self._options[key].get_secret_value()

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return f"KafkaOptions({', '.join(self._options)})"

    @property
    def access(self) -> Access:
        """How to get in."""
        return parse(self)

    @classmethod
    def checked(cls, options: dict[str, SecretStr]) -> KafkaOptions:
        """Raises `ValueError` for what would not work."""
        made = cls(options)
        for file in made.access.files:
            if not Path(file).exists():
                raise ValueError(f"there is no file {file}: give one that is there, as PEM")
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.checked,
            handler(dict[str, SecretStr]),
            serialization=core_schema.plain_serializer_function_ser_schema(repr),
        )
