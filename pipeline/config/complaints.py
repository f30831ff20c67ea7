"""Words what is wrong with the settings: one sentence a defect, the key's path first, what to do last.

In: pydantic's errors and the values they are about. Out: sentences. Called by `pipeline.settings`. A value
is shown only where the key holds no secret.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.config.source import Tree, is_reference, label

_SHOWN: Final = 60

_PLAIN: Final[Mapping[str, str]] = {
    "missing": "is missing: add it",
    "string_type": "is not text: put it in quotes",
    "bool_type": "is not a switch: write true or false",
    "int_type": "is not a whole number: write digits",
    "float_type": "is not a number: write digits",
    "list_type": "is not a list: begin each entry with '- '",
    "tuple_type": "is not a list: begin each entry with '- '",
    "dict_type": "is not a mapping: write 'key: value' lines below it",
    "model_type": "is not a mapping: write 'key: value' lines below it",
    "model_attributes_type": "is not a mapping: write 'key: value' lines below it",
    "path_type": "is not a path: put it in quotes",
    "finite_number": "is not a finite number: write digits",
}

_BOUNDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than": lambda limit: f"must be greater than {limit['gt']:g}",
    "greater_than_equal": lambda limit: f"must be at least {limit['ge']:g}",
    "less_than_equal": lambda limit: f"must be at most {limit['le']:g}",
    "string_too_short": lambda _limit: "must not be empty",
    "string_too_long": lambda limit: f"must have at most {limit['max_length']} characters",
}

_PARSED: Final[Mapping[str, str]] = {
    "int_parsing": "is not a whole number: write digits",
    "int_from_float": "is not a whole number: write digits",
    "float_parsing": "is not a number: write digits",
    "bool_parsing": "is not a switch: write true or false",
}


def sentences(model: type[BaseModel], tree: Tree, error: ValidationError) -> Iterator[str]:
    """One sentence for each defect of `tree` as a `model`; `tree` as the file has it: what a reference stands
    for may be a secret that came to the wrong key, and is not shown."""
    for details in error.errors(include_url=False):
        yield _sentence(model, tree, details)


def _sentence(model: type[BaseModel], tree: Tree, details: ErrorDetails) -> str:
    written = _at(tree, details["loc"])
    if details["type"] == "extra_forbidden":
        words = _unknown(str(details["loc"][-1]), _part(model, details["loc"][:-1]))
    elif isinstance(written, str) and is_reference(written):
        words = f"what {written[:_SHOWN]} stands for can't be used here: correct one of them"
    else:
        words = (
            _words(details["type"], details.get("ctx", {}), details["input"])
            or f"{details['msg']}: change it"
        )
    path = _path(tree, details["loc"])
    return f"{path}: {words}" if path else words


def _words(kind: str, context: Mapping[str, Any], value: object) -> str | None:
    shown = _shown(value)
    if kind == "value_error":
        return str(context["error"])
    if kind in _PLAIN:
        return "is empty: give a value, or remove the key" if value is None else _PLAIN[kind]
    if kind in _BOUNDS:
        return f"is {shown}, but {_BOUNDS[kind](context)}: change it"
    if kind in _PARSED:
        return f"{shown} {_PARSED[kind]}"
    if kind in ("literal_error", "enum"):
        return f"{shown} is not known: write {_choices(context['expected'])}"
    return None


def _shown(value: object) -> str:
    """Of a number that YAML can say in few words and no text can, only that."""
    try:
        return repr(str(value)[:_SHOWN])
    except ValueError:
        return "a number of thousands of digits"


def _unknown(key: str, model: type[BaseModel] | None) -> str:
    known = sorted(model.model_fields) if model is not None else []
    near = difflib.get_close_matches(key.lower(), known, n=1)
    if near:
        return f"is not a known key: did you mean {near[0]!r}?"
    return f"is not a known key: the keys here are {', '.join(known)}"


def _part(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that describes what lies at `path`."""
    here: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, str) and here is not None:
            field = here.model_fields.get(step)
            here = next(_models(field.annotation), None) if field is not None else None
    return here


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


def _path(tree: Tree, steps: tuple[int | str, ...]) -> str:
    """`regions[berlin].bus.prefetch`: an entry of a list is called by its name, where it has one."""
    path = ""
    for step in steps:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            tree = None
        if isinstance(step, int):
            path += f"[{label(tree, step)}]"
        else:
            path += f".{step}" if path else step
    return path


def _at(tree: Tree, steps: tuple[int | str, ...]) -> Tree:
    """What lies at that path; None where nothing does."""
    for step in steps:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _choices(expected: str) -> str:
    return re.sub(r"'([^']*)'", r"\1", expected).replace(", ", " or ")
