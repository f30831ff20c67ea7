"""The settings of users' keys: whose are carried, and which process may hold what opens them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pipeline.carried import keyless, ring
from pipeline.sealing import new_pair
from pipeline.settings import ALL, HUB, Role, Settings, SettingsError

PRIVATE, PUBLIC = new_pair()
OLD, _ = new_pair()
_, STRANGE = new_pair()
WORKER = Role("worker", "berlin")


def said(**berlin: Any) -> dict[str, Any]:
    login = {"host": "https://b.example.org", "api_key": "k", "secret_key": "s"}
    tokyo = {"name": "tokyo", **login, "sealing_key": STRANGE, "sealing_private_keys": ["${TOKYO}"]}
    return {
        "credentials": [{"domain": "/", "api_keys": True}, {"domain": "/Shop", "api_keys": False}],
        "regions": [{"name": "berlin", **login, **berlin}, tokyo],
    }


def parsed(tree: dict[str, Any], role: Role = WORKER, **environ: str) -> Settings:
    return Settings.parse(tree, environ, role)


def test_only_its_own_worker_gets_a_region_s_private_keys() -> None:
    tree = said(sealing_key=PUBLIC, sealing_private_keys=["${NEW}", "${OLD}"])
    settings = parsed(tree, NEW=PRIVATE, OLD=OLD)
    berlin, tokyo = settings.regions
    assert [key.get_secret_value() for key in berlin.sealing_private_keys] == [PRIVATE, OLD]
    assert (tokyo.sealing_private_keys, tokyo.sealing_key) == ((), STRANGE)
    assert PRIVATE not in repr(settings) and OLD not in str(settings)
    for role in (HUB, Role("bridge", "berlin"), Role("join", "berlin")):
        assert all(not one.sealing_private_keys for one in parsed(tree, role).regions)
    own = ring(settings, berlin)
    assert own is not None and own.is_usable and own.knows("tokyo") and not own.knows("oslo")
    assert keyless(settings, berlin) == []


def test_who_takes_part_is_said_once_in_words() -> None:
    settings = parsed(said())
    berlin = settings.regions[0]
    assert settings.key_policy(berlin) is None and ring(settings, berlin) is None
    assert keyless(settings, berlin) == [
        "region berlin has no sealing_key: users' API keys neither go nor come from there"
    ]
    bare = parsed(said(sealing_key=PUBLIC), HUB)
    assert keyless(bare, bare.regions[0]) == [
        "region berlin has no sealing_private_keys here: users' API keys wait"
    ]
    off = parsed(said() | {"credentials": []})
    assert (keyless(off, off.regions[0]), ring(off, off.regions[1])) == ([], None)


def test_the_longest_path_counts() -> None:
    settings = parsed(said(sealing_key=PUBLIC, sealing_private_keys=[PRIVATE]))
    policy = settings.key_policy(settings.regions[0])
    assert policy is not None
    assert (policy.covers("/"), policy.covers("/other"), policy.covers("/shop/a")) == (True, True, False)


@pytest.mark.parametrize(
    ("berlin", "words"),
    [
        ({"sealing_key": "Canary"}, "is no sealing key: make a pair with `region-sync sealing-key`"),
        ({"sealing_key": PUBLIC, "sealing_private_keys": ["Canary"]}, "is no sealing key"),
        ({"sealing_key": PUBLIC, "sealing_private_keys": [OLD]}, "belongs to none of sealing_private_keys"),
        ({"sealing_private_keys": [PRIVATE]}, "belongs to none of sealing_private_keys"),
        ({"sealing_key": PUBLIC}, "sealing_private_keys: is missing"),
        ({"sealing_key": PUBLIC, "post": False}, "would put users' keys into access logs"),
        ({"sealing_key": PUBLIC, "sealing_private_keys": [PRIVATE] * 9}, "sealing_private_keys"),
        ({"sealing_key": base64.b64encode(b"x" * 31).decode()}, "is no sealing key"),
    ],
)
def test_wrong_keys_are_told_and_not_shown(berlin: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(said(**berlin))
    assert words in str(error.value) and "berlin" in str(error.value)
    assert (
        "Canary" not in str(error.value) and PRIVATE not in str(error.value) and OLD not in str(error.value)
    )


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([{"domain": "shop", "api_keys": True}], "is no domain's path"),
        ([{"domain": "/shop"}, {"domain": "/SHOP/"}], "is there twice"),
        ([{"domain": "/shop", "passwords": True}], "passwords"),
    ],
)
def test_wrong_rules_are_told(rules: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parsed(said() | {"credentials": rules})


def test_a_private_key_that_stands_in_the_file_is_warned_of() -> None:
    open_ = parsed(said(sealing_key=PUBLIC, sealing_private_keys=[PRIVATE]))
    assert "regions[berlin].sealing_private_keys" in open_.plain_secrets
    named = Settings.parse(
        said(sealing_key=PUBLIC, sealing_private_keys=["${NEW}"]), {"NEW": PRIVATE}, WORKER
    )
    assert "regions[berlin].sealing_private_keys" not in named.plain_secrets
    assert "sealing_private_keys" in ALL.secrets("berlin", None)


def test_a_region_s_own_database_is_a_secret_of_its_worker_alone() -> None:
    url = "mysql+pymysql://sync:Canary-cloud@cloud.berlin/cloud"
    open_ = parsed(said(user_database=url))
    assert "regions[berlin].user_database" in open_.plain_secrets
    assert "Canary" not in repr(open_)
    named = said(user_database="${CLOUD}")
    worker = Settings.parse(named, {"CLOUD": url}, WORKER).regions[0]
    assert worker.user_database is not None and worker.user_database.get_secret_value() == url
    for role in (Role("hub"), Role("bridge", "berlin"), Role("join", "berlin"), Role("worker", "paris")):
        assert "user_database" not in role.secrets("berlin", None), role
    assert Settings.parse(named, {}, Role("hub")).regions[0].user_database is None
