"""Settings: any file is settings or sentences about it, and no sentence shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.roles import Role
from pipeline.config.source import FILE_MAX, PARTS_MAX, SECRET_MAX
from pipeline.settings import ALL, HUB, Settings, SettingsError
from tests.unit.hostile.junk import CALM, JSON, TEXT, bounded
from tests.unit.hostile.mutating import damaged

ROOT = Path(__file__).parents[3]
CANARY = "hunter2-canary"
ENVIRON = dict.fromkeys(("BERLIN_API_KEY", "BERLIN_SECRET_KEY", "PASSWORD", "SECRET", "TOKEN"), CANARY)
CORPUS = [(ROOT / "regions.example.yaml").read_bytes()]
ROLES = (ALL, HUB, Role("worker", "r1"), Role("bridge", "r1"))


def parse(tree: Any) -> None:
    for role in ROLES:
        try:
            found = Settings.parse(tree, ENVIRON, role)
        except SettingsError as error:
            assert CANARY not in str(error)
        else:
            assert CANARY not in repr(found) and CANARY not in str(found)


def load(path: Path, content: bytes) -> str:
    """The complaint; empty where there is none."""
    path.write_bytes(content)
    try:
        Settings.load(path, ENVIRON)
    except SettingsError as error:
        assert CANARY not in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize("rounds", [150, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_or_refused(rounds: int, tmp_path: Path) -> None:
    for content in damaged(CORPUS, seed=6, rounds=rounds):
        load(tmp_path / "regions.yaml", content)


TOP = [*Settings.model_fields]
REGION = ["host", "api_key", "secret_key", "password", "user_name", "lanes", "bus", "removals", "tls_ca"]
VALUES = JSON | st.sampled_from(
    [f"${{{name}}}" for name in ENVIRON] + ["file:/dev/null", "file:/\0", "${", 0xFF]
)
REGIONS = st.dictionaries(st.sampled_from(REGION) | TEXT, VALUES, max_size=5).map(
    lambda changed: (
        {"name": "r1", "host": "http://h", "api_key": "${SECRET}", "secret_key": "${SECRET}"} | changed
    )
)


@CALM
@given(
    st.dictionaries(st.sampled_from(TOP) | TEXT | st.integers(), VALUES, max_size=4),
    st.lists(REGIONS, max_size=3) | JSON,
)
def test_any_tree_is_settings_or_sentences(top: dict[Any, Any], regions: Any) -> None:
    parse({"regions": regions} | top)
    parse(top)


SECRET_AT: dict[str, dict[str, Any]] = {
    "api_key": {"api_key": [CANARY]},
    "secret_key": {"secret_key": {"x": CANARY}},
    "password": {"user_name": "a", "password": {CANARY: 1}},
    "bus url": {"bus": {"source": "amqp", "url": f"amqp://u:{CANARY}@h:port/x"}},
    "bus url without a scheme": {"bus": {"source": "amqp", "url": f"u:{CANARY}@h"}},
    "host with a log-in": {"host": f"https://u:{CANARY}@h/x"},
    "host without a scheme": {"host": f"u:{CANARY}@h"},
}


@pytest.mark.parametrize("where", SECRET_AT)
def test_a_wrong_secret_is_not_shown(where: str) -> None:
    region = {"name": "r1", "host": "http://h", "api_key": "a", "secret_key": "b"} | SECRET_AT[where]
    with pytest.raises(SettingsError) as told:
        Settings.parse({"regions": [region]}, {})
    assert CANARY not in str(told.value)


@pytest.mark.parametrize(
    "top",
    [
        {"database": f"root:{CANARY}@host/db"},
        {"database": CANARY},
        {"database": f"postgresql://u:{CANARY}@h/db"},
        {"database": [CANARY]},
        {"kafka": f"u:{CANARY}@broker:9092"},
        {"kafka_options": {"sasl.password": [CANARY]}},
        {"kafka_options": CANARY},
        {"web": {"token": CANARY[:5]}},
        {"web": {"token": [CANARY]}},
    ],
    ids=repr,
)
def test_a_wrong_secret_at_the_top_is_not_shown(top: dict[str, Any]) -> None:
    region = {"name": "r1", "host": "http://h", "api_key": "a", "secret_key": "b"}
    with pytest.raises(SettingsError) as told:
        Settings.parse({"regions": [region]} | top, {})
    assert CANARY[:5] not in str(told.value)


@pytest.mark.parametrize("first", "*!&%@`|>{[?-:#'\"")
def test_a_password_that_yaml_takes_for_something_else_is_not_shown(first: str, tmp_path: Path) -> None:
    content = f"regions:\n- name: r1\n  host: http://h\n  user_name: a\n  password: {first}{CANARY}\n"
    load(tmp_path / "regions.yaml", content.encode())
    content = content.replace("password: ", "password:\n   ")
    load(tmp_path / "regions.yaml", content.encode())


LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30))]
)
REFUSED: dict[str, tuple[bytes, str]] = {
    "a billion laughs": (LAUGHS.encode(), f"more than {PARTS_MAX} parts"),
    "itself": (b"regions: &a [*a]", f"more than {PARTS_MAX} parts"),
    "too large": (b"# " + b"x" * FILE_MAX, "larger than"),
    "a deep nest": (b"regions: " + b"[" * 50_000, "not YAML"),
    "a long number": (b"partitions: " + b"9" * 5_000, "not YAML"),
    "a long number in hex": (
        b"regions: []\npartitions: 0x" + b"f" * 50_000,
        "a number of thousands of digits",
    ),
    "a list as a key": (b"? [a]\n: b", "not YAML"),
    "a NUL in a path": (
        b'regions: [{name: r1, host: "http://h", password: "file:/a\\0b"}]',
        "cannot be read",
    ),
    "a device": (b'regions: [{name: r1, host: "http://h", password: "file:/dev/zero"}]', "cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_files_beyond_all_bounds_are_refused(what: str, tmp_path: Path) -> None:
    content, words = REFUSED[what]
    with bounded(200):
        assert words in load(tmp_path / "regions.yaml", content)


def test_a_secret_may_be_long_and_not_endless(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    region = {"name": "r1", "host": "http://h", "user_name": "a", "password": f"file:{secret}"}
    file = tmp_path / "regions.yaml"
    secret.write_text("x" * SECRET_MAX)
    assert load(file, yaml.safe_dump({"regions": [region]}).encode()) == ""
    secret.write_text("x" * (SECRET_MAX + 1))
    assert "cannot be read" in load(file, yaml.safe_dump({"regions": [region]}).encode())
