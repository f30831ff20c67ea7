"""status, outbox and sync over a real SQLite database, filled by the stores that fill it in earnest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from pipeline.cli.person import login_name
from pipeline.core.entities import Kind
from pipeline.outbox.audit import CallRow
from pipeline.outbox.engine import migrate, writing
from pipeline.outbox.gaps import GapStore
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.lookup import find, tables
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import audit
from pipeline.outbox.tables import Tables
from tests.unit.cli.conftest import Call
from tests.unit.outbox.builders import NOW, Clock, at, keep, record, row, settled

DOMAIN = record(Kind.DOMAIN, "d-1", "emea")
ACCOUNT = record(Kind.ACCOUNT, "a-1", "sales", parent="d-1")
COMMANDS = (["status"], ["outbox", "list"], ["outbox", "show", "1"], ["outbox", "retry", "1"], ["sync", "u"])


@pytest.fixture
def ids(engine: Engine) -> list[int]:
    """A domain sent to both regions, one delivered and one dead; an account that waits for both."""
    hub = HubStore(engine, Clock())
    found = keep(hub, DOMAIN, sent=("berlin", "tokyo")) + keep(hub, ACCOUNT, sent=("berlin", "tokyo"))
    call = CallRow("createDomain", 431, "no such parent", 12, NOW)
    RegionStore(engine, "berlin", Clock()).settle([settled(DOMAIN)], NOW)
    dead = settled(DOMAIN, "dead", result="refused", message="no such parent", calls=(call,))
    RegionStore(engine, "tokyo", Clock()).settle([dead], NOW)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_tables_one_sentence_and_nothing_made(
    region_sync: Call, config: str, tmp_path: Path, command: list[str]
) -> None:
    ended = region_sync(*command, "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "region-sync: the database has no tables yet: `region-sync migrate` makes them\n"
    assert not (tmp_path / "audit.db").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_tables_of_an_older_version_are_not_read(
    region_sync: Call, config: str, engine: Engine, command: list[str]
) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    ended = region_sync(*command, "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert "of an older version: `region-sync migrate` brings them up" in ended.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_no_database_is_one_sentence(
    region_sync: Call, config: str, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "audit.db").write_text("this is no database, though it is long enough to be looked at" * 20)
    ended = region_sync(*command, "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "region-sync: database: file is not a database\n"


def test_a_database_server_that_is_away_is_one_sentence(region_sync: Call, tmp_path: Path) -> None:
    path = tmp_path / "away.yaml"
    path.write_text(
        "database: mysql+pymysql://u:hush@127.0.0.1:1/n\n"
        "regions: [{name: berlin, host: 'http://h', api_key: k, secret_key: s}]\n"
    )
    ended = region_sync("status", "-c", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: database: ")
    assert len(ended.err.splitlines()) == 1
    assert "hush" not in ended.err


@pytest.mark.usefixtures("ids")
def test_status_as_json(region_sync: Call, config: str) -> None:
    found = region_sync("status", "--json", "-c", config).json()
    berlin, tokyo = found["regions"]
    assert (berlin["region"], berlin["states"]) == ("berlin", {"delivered": 1, "pending": 1})
    assert (tokyo["region"], tokyo["states"]) == ("tokyo", {"pending": 1, "dead": 1})
    assert isinstance(berlin["oldest_open_ms"], int)
    assert found["entities"] == {"Domain": 1, "Account": 1}
    assert (found["conflicts"], found["dead_letters"]) == (0, 0)
    assert [(one["uuid"], one["name"]) for one in found["stuck"]] == [("d-1", "emea")]


@pytest.mark.usefixtures("ids")
def test_status_tells_what_the_buses_lost(region_sync: Call, config: str, engine: Engine) -> None:
    berlin = GapStore(engine, "berlin", Clock())
    berlin.count(3, NOW)
    berlin.silent(NOW)
    berlin.need_scan(NOW)
    row, other = (one["gap"] for one in region_sync("status", "--json", "-c", config).json()["regions"])
    assert (row["lost"], row["filled"], row["last_lost_time"]) == (3, 3, NOW)
    assert (row["silent_since"], row["scan_needed_since"]) == (NOW, NOW)
    assert (other["lost"], other["silent_since"], other["scan_needed_since"]) == (0, None, None)
    said = region_sync("status", "-c", config).out
    assert "events lost by buses: 3, of them found and told: 3" in said
    assert "berlin: its event log moves and its bus says nothing, since 20" in said
    assert "may be told nowhere: a full scan is needed" in said
    berlin.silent(None)
    assert "says nothing" not in region_sync("status", "-c", config).out


@pytest.mark.usefixtures("ids")
def test_status_as_a_table(region_sync: Call, config: str) -> None:
    lines = region_sync("status", "-c", config).out.splitlines()
    states = ["pending", "published", "delivered", "superseded", "held", "dead"]
    assert lines[0].split() == ["region", *states, "oldest", "open"]
    assert lines[1].split()[:7] == ["berlin", "1", "0", "1", "0", "0", "0"]
    assert lines[2].split()[:7] == ["tokyo", "1", "0", "0", "0", "0", "1"]
    assert "entities: 1 Account, 1 Domain" in lines
    assert "stuck: 1" in lines
    assert "no such parent" in lines[-1]


def test_a_region_that_left_the_settings_still_shows(region_sync: Call, config: str, engine: Engine) -> None:
    keep(HubStore(engine, Clock()), DOMAIN, sent=("oslo",))
    names = [one["region"] for one in region_sync("status", "--json", "-c", config).json()["regions"]]
    assert names == ["berlin", "tokyo", "oslo"]


def test_the_outbox_is_listed_by_region_state_kind_and_page(
    region_sync: Call, config: str, ids: list[int]
) -> None:
    def listed(*options: str) -> list[int]:
        rows = region_sync("outbox", "list", "--json", "-c", config, *options).json()
        return [row["id"] for row in rows]

    assert listed() == sorted(ids, reverse=True)
    assert len(listed("--region", "berlin")) == 2
    assert len(listed("--state", "dead")) == 1
    assert len(listed("--kind", "Account")) == 2
    assert listed("--kind", "Account", "--region", "tokyo", "--state", "dead") == []
    first = listed("--limit", "3")
    assert first + listed("--before", str(first[-1])) == sorted(ids, reverse=True)


@pytest.mark.usefixtures("ids")
def test_a_full_page_says_how_to_go_on(region_sync: Call, config: str) -> None:
    ended = region_sync("outbox", "list", "--limit", "2", "-c", config)
    last = ended.out.splitlines()[-1].split()[0]
    assert ended.err == f"More: --before {last}\n"
    assert len(ended.out.splitlines()) == 3


def dead_id(region_sync: Call, config: str) -> str:
    (row,) = region_sync("outbox", "list", "--state", "dead", "--json", "-c", config).json()
    return str(row["id"])


@pytest.mark.usefixtures("ids")
def test_a_row_is_shown_with_its_message_and_its_calls(region_sync: Call, config: str) -> None:
    number = dead_id(region_sync, config)
    shown = region_sync("outbox", "show", number, "--json", "-c", config).json()
    of_row = shown["row"]
    assert (of_row["state"], of_row["result"], of_row["message"]) == ("dead", "refused", "no such parent")
    assert shown["body"]["body"]["uuid"] == "d-1"
    (call,) = shown["calls"]
    assert (call["command"], call["status"], call["error"]) == ("createDomain", 431, "no such parent")
    plain = region_sync("outbox", "show", number, "-c", config).out
    assert '"uuid": "d-1"' in plain
    assert plain.splitlines()[-1].split()[2:5] == ["createDomain", "431", "12"]


@pytest.mark.usefixtures("ids")
def test_a_row_that_is_not_there(region_sync: Call, config: str) -> None:
    ended = region_sync("outbox", "show", "4711", "-c", config)
    assert (ended.code, ended.out, ended.err) == (1, "", "region-sync: there is no outbox row 4711\n")


@pytest.mark.usefixtures("ids")
def test_dead_rows_are_tried_again(region_sync: Call, config: str, engine: Engine) -> None:
    number = dead_id(region_sync, config)
    assert region_sync("outbox", "retry", number, "-c", config).out == "1 dead row will be tried again.\n"
    assert region_sync("outbox", "retry", number, "-c", config).out == "0 dead rows will be tried again.\n"
    noted = row(engine, audit)
    assert (noted["who"], noted["action"]) == (login_name(os.getuid()), "retry")
    assert (noted["subject"], str(noted["subject_id"]), noted["region"]) == ("outbox", number, "tokyo")
    assert noted["reason"] == "by region-sync outbox retry"
    assert region_sync("outbox", "list", "--state", "dead", "--json", "-c", config).json() == []


@pytest.mark.usefixtures("ids")
def test_all_dead_rows_of_one_region_are_tried_again(region_sync: Call, config: str, engine: Engine) -> None:
    assert region_sync("outbox", "retry", "--all", "--region", "berlin", "--json", "-c", config).json() == {
        "retried": 0
    }
    tokyo = ["--all", "--region", "tokyo", "--reason", "the role is there now"]
    assert region_sync("outbox", "retry", *tokyo, "--json", "-c", config).json() == {"retried": 1}
    assert row(engine, audit)["reason"] == "the role is there now"


def test_a_user_without_a_name_is_a_number() -> None:
    assert login_name(2_000_000_123) == "uid 2000000123"


def test_what_is_asked_needs_no_region_s_secret(
    region_sync: Call, config: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace("secret_key: s", "secret_key: '${NOT_SET_ANYWHERE}'"))
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    assert region_sync("status", "-c", config).code == 0
    assert region_sync("outbox", "list", "-c", config).code == 0
    assert region_sync("check", "-c", config).code == 2


def test_an_entity_is_found_by_each_of_its_uuids(engine: Engine) -> None:
    hub = HubStore(engine, Clock())
    keep(hub, DOMAIN)
    stored = hub.load(["d-1"])["d-1"]
    hub.commit([Change(stored.record, stored.revision, mapping=at(DOMAIN, "tokyo", "there"))], NOW)
    (by_canonical,) = find(engine, "d-1")
    (by_local,) = find(engine, "there")
    assert by_canonical == by_local
    assert (by_local.kind, by_local.name, by_local.locals) == (Kind.DOMAIN, "emea", {"tokyo": "there"})
    assert find(engine, "nobody") == []


def test_the_state_of_the_tables(tmp_path: Path, url: str) -> None:
    assert tables(url) is Tables.MISSING
    migrate(url)
    assert tables(url) is Tables.CURRENT


@pytest.mark.usefixtures("ids")
def test_sync_says_what_it_cannot_do(region_sync: Call, config: str) -> None:
    ended = region_sync("sync", "nobody", "-c", config)
    assert ended.code == 1
    assert ended.err == (
        "region-sync: no entity with the UUID nobody is known: add --region and --kind, "
        "and it is read there\n"
    )
    ended = region_sync("sync", "d-1", "-c", config)
    assert ended.code == 1
    assert ended.err == (
        "region-sync: the embedded broker is not running: start `region-sync run` with the same "
        "settings first\n"
    )


@pytest.mark.usefixtures("ids")
def test_a_broker_that_went_without_a_word_is_one_sentence(
    region_sync: Call, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.hints.TAKEN_WITHIN_S", 1)
    (tmp_path / "audit.db.broker").write_text("127.0.0.1:1\n")
    ended = region_sync("sync", "d-1", "-c", config)
    assert ended.code == 1
    assert ended.err == "region-sync: Kafka did not take it: Local: Message timed out (at 127.0.0.1:1)\n"
    assert json.loads(region_sync("status", "--json", "-c", config).out)["regions"]


@pytest.mark.usefixtures("ids")
def test_status_says_which_regions_are_not_written_to(region_sync: Call, config: str) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace("{name: tokyo,", "{name: tokyo, mode: paused,"))
    assert "mode of tokyo: paused" in region_sync("status", "-c", config).out.splitlines()
    modes = [one["mode"] for one in region_sync("status", "--json", "-c", config).json()["regions"]]
    assert modes == ["apply", "paused"]
