"""Reads one YAML file of settings and fills in what it names: environment variables and files with secrets.

In: the file's path, the environment as a mapping. Out: plain dicts, lists and values, not judged yet.
Called by `pipeline.settings` alone, which passes the environment. `${NAME}` inside a text becomes the
variable's value; a text that is `file:/path` becomes that file's content, without the line end. What is
filled in is not looked at again, so a secret may hold any character.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

Tree = Any
"""What YAML can say: mappings, lists, text, numbers, true and false, null."""

FILE: Final = "file:/"
FILE_MAX: Final = 1024 * 1024
"""Bytes of a file of settings."""
SECRET_MAX: Final = 64 * 1024
"""Bytes of a file with a secret."""
PARTS_MAX: Final = 100_000
"""Values of one file, those counted twice that are named twice."""
SHOWN: Final = 200
_NAMED: Final = re.compile(r"(alias|tag|anchor|handle) ['\"].*", re.DOTALL)
"""What YAML shows of the text: a password that begins with `*` or `!` is an alias or a tag to it."""
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SettingsError(Exception):
    """The settings cannot be used. The text is for a person: one sentence a line, each with the key's
    path, what is wrong and what to do."""


def read(path: Path) -> Tree:
    """The YAML in `path` as it stands. Raises `SettingsError`."""
    try:
        text = _bounded(path, FILE_MAX).decode("utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: there is no such file: copy regions.example.yaml there, or name another with --config"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}): check the path and its rights"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text: save it as such") from None
    try:
        return _finite(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: {_yaml_words(error)}") from None
    except (
        RecursionError,
        ValueError,
        TypeError,
    ) as error:  # a date 2026-99-99, a key that is a list
        words = str(error)[:SHOWN]
        raise SettingsError(f"{path}: is not YAML that can be read ({words}): correct it") from None


def fill(tree: Tree, environ: Mapping[str, str], where: str = "") -> Tree:
    """`tree` with variables and files filled in. Raises `SettingsError`, which starts with the key's
    path; `where` is the path of `tree` itself."""
    if isinstance(tree, dict):
        return {
            key: fill(value, environ, f"{where}.{key}" if where else str(key)) for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [fill(value, environ, f"{where}[{label(value, index)}]") for index, value in enumerate(tree)]
    if not isinstance(tree, str):
        return tree
    if tree.startswith(FILE):
        return _content(Path(tree.removeprefix("file:")), where)
    return _VARIABLE.sub(lambda found: _variable(found[1], environ, where), tree)


def label(item: Tree, index: int) -> str:
    """How an item of a list is called in an error: by its name where it has one, else by number from 1."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name else f"number {index + 1}"


def is_reference(text: str) -> bool:
    """Whether `text` names where the value is, rather than being it."""
    return text.startswith(FILE) or _VARIABLE.search(text) is not None


def _variable(name: str, environ: Mapping[str, str], where: str) -> str:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: ${{{name}}} names no environment variable: write ${{NAME}}")
    if name not in environ:
        raise SettingsError(
            f"{where}: the environment variable {name} is not set: set it, or change the value"
        )
    return environ[name]


def _content(path: Path, where: str) -> str:
    try:
        return _bounded(path, SECRET_MAX).decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"{where}: {path} cannot be read ({error.strerror}): check the path and its rights"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{where}: {path} is not UTF-8 text: save it as such") from None
    except ValueError as error:
        raise SettingsError(f"{where}: {path!r} cannot be read ({error}): check the path") from None


def _bounded(path: Path, limit: int) -> bytes:
    """All of a file that is no larger. Raises `OSError`, also for a larger one; `ValueError` for a NUL."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes")
    return content


def _finite(tree: Tree) -> Tree:
    """`tree`, which has no more parts than a person writes: an anchor that is named again and again, or in
    itself, has any number. Raises `ValueError`."""
    left = PARTS_MAX
    waiting = [tree]
    while waiting:
        left -= 1
        if left < 0:
            raise ValueError(f"it has more than {PARTS_MAX} parts")
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
    return tree


def _yaml_words(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    problem = _NAMED.sub(r"\1", getattr(error, "problem", None) or "unreadable characters")
    return f"{place}this is not YAML ({problem}): correct it, with spaces for indentation"


class _Loader(yaml.SafeLoader):
    """The safe loader, which besides refuses a key given twice: the first would silently not count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)
