"""Which stored hashes are carried, what stands for a login, and that nothing shows it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import LOGIN, Kind
from pipeline.core.merge import merge
from pipeline.core.passwords import PBKDF2, SHA256SALT, Login, encoder, is_federated, stands_for
from pipeline.core.records import Observation, Position, Topology
from tests.unit.outbox.builders import fields

SALT = base64.b64encode(b"s" * 64).decode()
HASH = base64.b64encode(b"h" * 64).decode()
OLD_SALT = base64.b64encode(b"s" * 20).decode()


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        (f"{SALT}:{HASH}:100000", PBKDF2),
        (f"{OLD_SALT}:{HASH}", SHA256SALT),
        ("5f4dcc3b5aa765d61d8327deb882cf99", None),  # MD5 of a word that everybody knows
        ("password", None),  # as it is
        ("a:b:1", None),
        (f"{SALT}:{HASH}:", None),
        (f"{SALT}:{HASH}:100000\n", None),
        (f"{SALT}:{HASH}:1:2", None),
        (f"{SALT}:{HASH}:999999999", None),  # a login would take minutes of a core
        (f"{SALT * 2}:{HASH}:100000", None),  # longer than the column
    ],
)
def test_only_hashes_with_a_salt_are_carried(stored: str, name: str | None) -> None:
    assert encoder(stored) == name
    assert (stands_for(Login(stored)) is not None) is (name is not None)


@pytest.mark.parametrize("source", ["", "UNKNOWN", "NATIVE", "native"])
def test_a_native_user_is_known_by_its_hash(source: str) -> None:
    one, other = f"{SALT}:{HASH}:100000", f"{HASH}:{SALT}:100000"
    value = stands_for(Login(one, source))
    assert value == stands_for(Login(one)) != stands_for(Login(other, source))
    assert value is not None and len(value) == 32 and not is_federated(value)


@pytest.mark.parametrize("source", ["LDAP", "SAML2", "SAML2DISABLED", "OAUTH2"])
def test_a_federated_user_is_known_by_its_provider_whatever_its_password_column_says(source: str) -> None:
    value = stands_for(Login("made up", source, "ann@idp"))
    assert value == stands_for(Login(f"{SALT}:{HASH}:1", source, "ann@idp"))
    assert value != stands_for(Login("made up", source, "bob@idp"))
    assert value is not None and is_federated(value) and value.startswith(f"{source.lower()}:")


@pytest.mark.parametrize("source", ["a b", "KERBEROS", "SAML3", "LDAP\n"])
def test_a_word_that_cloudstack_does_not_know_is_no_source(source: str) -> None:
    assert stands_for(Login("", source, "ann@idp")) is None


@given(st.text(max_size=300), st.text(max_size=50), st.text(max_size=50))
def test_nothing_of_a_login_is_in_what_is_shown(password: str, source: str, external: str) -> None:
    login = Login(f"secret-{password}", source, f"outside-{external}")
    assert "secret-" not in repr(login) and "outside-" not in repr(login)
    value = stands_for(login)
    assert value is None or ("secret-" not in value and "outside-" not in value)


# --- how it merges

OURS, MADE_UP, NEW = "a" * 32, "b" * 32, "c" * 32
TOPOLOGY = Topology(("r1", "r2"))


def seen(region: str, login: str | None, time: int, applied: int | None = None) -> Observation:
    told = fields(Kind.USER, "ann", "a1") | ({} if login is None else {LOGIN: login})
    return Observation(region, Kind.USER, "u1", told, time, applied=applied, wrote=applied is not None)


def test_the_password_that_we_made_up_is_no_change_and_a_person_s_is() -> None:
    made = merge(None, seen("r1", OURS, 1_000), Position("e", 1), TOPOLOGY)
    assert made.record is not None
    (desired,) = made.desired
    assert LOGIN not in (desired.fields or {}), "r2 has not told of logins yet"

    created = merge(made.record, seen("r2", MADE_UP, 2_000, desired.version), Position("e", 2), TOPOLOGY)
    assert created.record is not None and created.conflicts == ()
    assert created.record.fields[LOGIN].text == OURS
    (again,) = created.desired
    assert (again.region, (again.fields or {})[LOGIN]) == ("r2", OURS)

    person = merge(created.record, seen("r2", NEW, 3_000), Position("e", 3), TOPOLOGY)
    assert person.record is not None and person.record.fields[LOGIN].text == NEW
    assert [one.region for one in person.desired] == ["r1", "r2"], "the older one is on its way to r2"


def test_a_region_that_begins_to_tell_gives_way() -> None:
    known = merge(None, seen("r1", OURS, 1_000), Position("e", 1), TOPOLOGY).record
    assert known is not None
    merged = merge(known, seen("r2", NEW, 9_000), Position("e", 2), TOPOLOGY)
    assert merged.record is not None and merged.record.fields[LOGIN].text == OURS
    assert merged.conflicts == (), "two hashes of one password differ too"
