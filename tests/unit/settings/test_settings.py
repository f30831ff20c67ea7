"""what it may say, and one clear sentence for everything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from pipeline.check import joining
from pipeline.check.everything import of_settings
from pipeline.core.entities import Kind
from pipeline.core.mode import Mode
from pipeline.core.records import Source
from pipeline.core.removal import HOUR_MS, Limits, Losses, Policy
from pipeline.settings import ALL, HUB, Environment, Role, Settings, SettingsError, load

ROOT = Path(__file__).parents[3]
BERLIN: dict[str, Any] = {
    "name": "berlin",
    "host": "https://b.example.org",
    "api_key": "k",
    "secret_key": "s",
}
TOKYO: dict[str, Any] = BERLIN | {"name": "tokyo", "host": "http://t.example.org:8080/"}
EVERY = {
    "BERLIN_API_KEY": "key",
    "BERLIN_SECRET_KEY": "secret",
    "BERLIN_BUS_PASSWORD": "p",
    "TOKYO_PASSWORD": "pass",
}


def test_scans_run_daily_unless_told_otherwise() -> None:
    region = {"name": "berlin", "host": "http://h", "api_key": "k", "secret_key": "s"}
    for given, ms in (({}, 86_400_000), ({"full_scan_interval": 0}, 0), ({"full_scan_interval": None}, None)):
        settings = Settings.parse({"regions": [region | given]}, {})
        assert settings.regions[0].full_scan_interval == ms


def parse(tree: Any, environ: dict[str, str] | None = None, role: Role = ALL) -> Settings:
    return Settings.parse(tree, environ or {}, role, "regions.yaml")


def refused(tree: Any, environ: dict[str, str] | None = None, role: Role = ALL) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(tree, environ, role)
    return str(caught.value)


def regions(**changes: Any) -> dict[str, Any]:
    return {"regions": [BERLIN | changes, TOKYO]}


def test_the_least_that_works_and_its_defaults() -> None:
    settings = parse({"regions": [BERLIN, TOKYO]})
    assert settings.embedded
    assert (settings.topology, settings.partitions) == ("multi-master", 4)
    assert settings.database.get_secret_value() == "sqlite:///region-sync.db"
    assert settings.hub.batch == 500
    kept = settings.retention
    assert (kept.outbox_days, kept.ledger_days, kept.outage_days) == (30, 365, 7)
    region = settings.region("tokyo")
    assert region.endpoint == "http://t.example.org:8080/client/api"
    assert region.queue == "region-sync.tokyo"
    assert (region.lanes, region.rate_per_s, region.timeout_s, region.job_timeout_s) == (16, None, 30, 600)
    assert (region.active, region.is_master, region.post, region.tls_ca) == (True, False, True, None)
    bus = region.bus
    assert (bus.source, bus.exchange, bus.prefetch, bus.poll_interval_s) == (
        "eventlog",
        "cloudstack-events",
        5000,
        1,
    )


def test_a_real_kafka_has_twelve_partitions_unless_told() -> None:
    assert parse({"kafka": "a:9092, b:9093", "regions": [BERLIN]}).partitions == 12
    assert parse({"kafka": "a:9092, b:9093", "regions": [BERLIN]}).kafka == "a:9092,b:9093"
    assert parse({"kafka": "[::1]:9092", "partitions": 3, "regions": [BERLIN]}).partitions == 3


def test_topics_have_as_many_copies_as_brokers_allow_unless_told() -> None:
    assert parse({"kafka": "a:9092", "regions": [BERLIN]}).replicas is None
    assert parse({"kafka": "a:9092", "replicas": 3, "regions": [BERLIN]}).replicas == 3


def test_the_example_loads_and_names_every_key() -> None:
    path = ROOT / "regions.example.yaml"
    settings = Settings.load(path, EVERY)
    berlin, tokyo = settings.regions
    assert berlin.api_key is not None and berlin.api_key.get_secret_value() == "key"
    assert berlin.bus.url is not None
    assert berlin.bus.url.get_secret_value() == "amqps://region-sync:p@bus-berlin.example.org:5671/%2F"
    assert tokyo.password is not None and tokyo.password.get_secret_value() == "pass"
    assert settings.plain_secrets == ()
    text = path.read_text()
    missing = [key for key in every_key(Settings) if not re.search(rf"\b{key}:", text)]
    assert missing == []


def test_the_example_says_the_defaults() -> None:
    tree = yaml.safe_load((ROOT / "regions.example.yaml").read_text())
    least = parse({"regions": [BERLIN]})
    for name in ("topology", "kafka", "kafka_options", "database", "log_level"):
        value = getattr(least, name)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert tree[name] == shown, name
    assert tree["hub"] == least.hub.model_dump()
    assert tree["web"] == {**least.web.model_dump(), "names": []}
    told = tree["regions"][0]
    for name in (
        "root_url",
        "is_master",
        "active",
        "lanes",
        "rate_per_s",
        "timeout_s",
        "job_timeout_s",
        "post",
    ):
        assert told[name] == getattr(least.regions[0], name), name


def test_the_containers_settings_load() -> None:
    names = {f"R{number}_{key}" for number in (1, 2, 3) for key in ("API_KEY", "SECRET_KEY")}
    environ = dict.fromkeys(names | {"DATABASE_PASSWORD", "BUS_PASSWORD"}, "x")
    settings = Settings.load(ROOT / "docker" / "regions.yaml", environ)
    assert [region.bus.source for region in settings.regions] == ["amqp"] * 3
    assert settings.plain_secrets == ()


def every_key(model: Any) -> list[str]:
    keys = list(model.model_fields)
    for name in ("hub", "bus", "web"):
        if name in model.model_fields:
            keys += every_key(model.model_fields[name].annotation)
    if "regions" in keys:
        keys += every_key(model.model_fields["regions"].annotation.__args__[0])
    return keys


DEFECTS = [
    ({"regoins": [], **regions()}, "regoins: is not a known key: did you mean 'regions'?"),
    (regions(lane=3), "regions[berlin].lane: is not a known key: did you mean 'lanes'?"),
    (regions(Host=3), "regions[berlin].Host: is not a known key: did you mean 'host'?"),
    (
        regions(bus={"sauce": "amqp"}),
        "regions[berlin].bus.sauce: is not a known key: did you mean 'source'?",
    ),
    (
        regions() | {"hub": {"xyz": 1}},
        "hub.xyz: is not a known key: the keys here are batch",
    ),
    (
        regions(name="TOKYO"),
        "regions: TOKYO and tokyo have the same name (case does not count, and '.' and '_' are "
        "alike): give each its own",
    ),
    (regions(name="tokyo"), "regions: tokyo and tokyo have the same name: give each its own"),
    (
        {"regions": [BERLIN | {"is_master": True}, TOKYO | {"is_master": True}]},
        "regions: berlin and tokyo are both master: set is_master on one region only",
    ),
    (
        regions() | {"topology": "master"},
        "topology: 'master' needs an active master: set is_master: true on one active region",
    ),
    (
        regions(host="ftp://b.example.org"),
        "regions[berlin].host: scheme 'ftp' cannot be reached: write https://host:port",
    ),
    (
        regions(host="b.example.org:8080"),
        "regions[berlin].host: address without a scheme cannot be reached: write https://host:port",
    ),
    (
        regions(host="https://"),
        "regions[berlin].host: the address names no host: write https://host:port",
    ),
    (
        regions(host="https://b:99999"),
        "regions[berlin].host: is no address that can be read: write https://host:port",
    ),
    (
        regions(host="https://b/client/api"),
        "regions[berlin].host: 'https://b/client/api' has a path: put everything after the port "
        "into root_url",
    ),
    (
        regions(bus={"source": "amqp", "url": "http://guest:hush@b"}),
        "regions[berlin].bus.url: scheme 'http' cannot be reached: write amqp://host:port",
    ),
    (
        regions(bus={"source": "amqp"}),
        "regions[berlin].bus.url: is missing: source 'amqp' needs the address of the broker",
    ),
    (
        regions(name="Bad Name"),
        "regions[Bad Name].name: 'Bad Name' cannot be part of a topic's name: use at most 64 "
        "letters, digits, '.', '_' and '-'",
    ),
    (
        regions(name="Hub"),
        "regions[Hub].name: 'hub' is taken by the hub itself: choose another name",
    ),
    ({"regions": []}, "regions: the list is empty: add at least one region"),
    ({}, "regions: is missing: add it"),
    (None, "holds no settings: it must be a mapping with the key 'regions'"),
    ([1], "holds no settings: it must be a mapping with the key 'regions'"),
    ({"regions": {"berlin": BERLIN}}, "regions: is not a list: begin each entry with '- '"),
    (
        {"regions": ["berlin"]},
        "regions[number 1]: is not a mapping: write 'key: value' lines below it",
    ),
    (
        {"regions": [{"host": "http://x", "api_key": "k", "secret_key": "s"}]},
        "regions[number 1].name: is missing: add it",
    ),
    (
        regions(lanes="many"),
        "regions[berlin].lanes: 'many' is not a whole number: write digits",
    ),
    (regions(lanes=0), "regions[berlin].lanes: is '0', but must be at least 1: change it"),
    (
        regions(active="perhaps"),
        "regions[berlin].active: 'perhaps' is not a switch: write true or false",
    ),
    (
        regions(timeout_s=None),
        "regions[berlin].timeout_s: is empty: give a value, or remove the key",
    ),
    (regions(secret_key=12345), "regions[berlin].secret_key: is not text: put it in quotes"),
    (
        regions(secret_key=None),
        "regions[berlin]: lacks a log-in: give api_key and secret_key, or user_name and password",
    ),
    (
        regions(user_name="u", password="p"),
        "regions[berlin]: has two log-ins: keep api_key and secret_key, or user_name and password",
    ),
    (
        regions(tls_ca="/no/such.pem"),
        "regions[berlin].tls_ca: there is no file /no/such.pem: give a PEM file that is there",
    ),
    (
        regions(root_url="client/api"),
        "regions[berlin].root_url: 'client/api' is no path: it must begin with '/', as /client/api does",
    ),
    (
        regions() | {"topology": "ring"},
        "topology: 'ring' is not known: write multi-master or master",
    ),
    (
        regions() | {"partitions": 12},
        "partitions: the embedded broker always has 4: remove the key",
    ),
    (
        regions() | {"kafka": "broker"},
        "kafka: 'broker' is no broker: write 'embedded', or 'host:port,host:port'",
    ),
    (
        regions() | {"database": "postgresql://u:hush@h/n"},
        "database: 'postgresql' is no database that is supported: write sqlite:///FILE or "
        "mysql+pymysql://USER:PASSWORD@HOST/NAME",
    ),
    (
        regions(api_key="${NOPE}"),
        "regions[berlin].api_key: the environment variable NOPE is not set: set it, or change the value",
    ),
    (
        regions(api_key="${a-b}"),
        "regions[berlin].api_key: ${a-b} names no environment variable: write ${NAME}",
    ),
    (
        regions(api_key="file:/no/such"),
        "regions[berlin].api_key: /no/such cannot be read (No such file or directory): check the "
        "path and its rights",
    ),
]


@pytest.mark.parametrize(("tree", "words"), DEFECTS, ids=[words[:46] for _tree, words in DEFECTS])
def test_one_defect_is_one_sentence(tree: Any, words: str) -> None:
    assert refused(tree) == f"regions.yaml: {words}"


def test_each_of_two_defects_gets_its_sentence() -> None:
    lines = refused(regions(lanes=0, hots="x")).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["regions[berlin].lanes", "regions[berlin].hots"]


FILES = [
    (None, "there is no such file: copy regions.example.yaml there, or name another with --config"),
    (b"", "holds no settings: it must be a mapping with the key 'regions'"),
    (
        b"a: [1\nb: 2",
        "line 2, column 2: this is not YAML (expected ',' or ']', but got ':'): correct it, with spaces "
        "for indentation",
    ),
    (
        b"hub:\n\tbatch: 1",
        "line 2, column 1: this is not YAML (found character '\\t' that cannot start any token): "
        "correct it, with "
        "spaces for indentation",
    ),
    (
        b"kafka: a:1\nkafka: b:1\n",
        "line 2, column 1: this is not YAML (the key 'kafka' is given twice): correct it, with spaces "
        "for indentation",
    ),
    (b"regions: \xff\xfe", "is not UTF-8 text: save it as such"),
    (
        b"a: !!python/object:os.system x",
        "line 1, column 4: this is not YAML (could not determine a constructor for the tag): "
        "correct it, with spaces for indentation",
    ),
]


@pytest.mark.parametrize(("content", "words"), FILES)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "regions.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Settings.load(path, {})
    assert str(caught.value) == f"{path}: {words}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load(tmp_path, {})


def test_secrets_come_from_variables_and_files_and_hold_any_character(tmp_path: Path) -> None:
    held = tmp_path / "secret"
    held.write_text("file:/etc/${HOME}: #\n")
    settings = parse(
        regions(api_key="${KEY}", secret_key=f"file:{held}") | {"database": "mysql+pymysql://u:${DB}@h/n"},
        {"KEY": "a${b}", "DB": "file:/x"},
    )
    region = settings.region("berlin")
    assert region.api_key is not None and region.api_key.get_secret_value() == "a${b}"
    assert region.secret_key is not None and region.secret_key.get_secret_value() == "file:/etc/${HOME}: #"
    assert settings.database.get_secret_value() == "mysql+pymysql://u:file:/x@h/n"


def test_where_a_secret_is_found_is_known_to_all() -> None:
    tree = {
        "regions": [
            BERLIN | {"secret_key": "${S}"},
            {"name": "oslo", "host": "http://o", "user_name": "u", "password": "file:/run/oslo"},
            TOKYO,
        ]
    }
    settings = parse(tree, {}, HUB)
    assert [settings.secret_source(name) for name in ("berlin", "oslo", "tokyo")] == [
        "${S}",
        "file:/run/oslo",
        "regions.yaml",
    ]


def test_secrets_are_never_shown() -> None:
    settings = parse(
        {
            "database": "mysql+pymysql://u:hush@h/n",
            "kafka": "a:1",
            "kafka_options": {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "u",
                "sasl.password": "hush",
            },
            "regions": [
                BERLIN
                | {
                    "api_key": "hush",
                    "secret_key": "hush",
                    "bus": {"source": "amqp", "url": "amqp://u:hush@h"},
                }
            ],
        }
    )
    assert "hush" not in repr(settings) + str(settings)
    assert settings.plain_secrets == (
        "database",
        "kafka_options.sasl.password",
        "regions[berlin].api_key",
        "regions[berlin].secret_key",
        "regions[berlin].bus.url",
    )
    for tree in (
        regions(secret_key=["hush"]),
        regions(bus={"source": "amqp", "url": "http://hush:hush@b"}),
        regions(host="https://u:hush@b"),
        regions() | {"kafka_options": {"a": ["hush"]}},
    ):
        assert "hush" not in refused(tree)


AMQP = {"source": "amqp", "url": "${BUS}"}
LOGIN = {"api_key": "${KEY}", "secret_key": "${SECRET}", "bus": AMQP}


@pytest.mark.parametrize(
    ("role", "held", "missing"),
    [
        (HUB, {}, None),
        (Role("worker", "berlin"), {"KEY": "k", "SECRET": "s"}, None),
        (Role("worker", "berlin"), {"BUS": "amqp://b"}, "KEY"),
        (Role("bridge", "berlin"), {"BUS": "amqp://b"}, None),
        (Role("bridge", "berlin"), {"KEY": "k", "SECRET": "s"}, "BUS"),
        (Role("worker", "tokyo"), {}, None),
        (Role("join", "berlin"), {"KEY": "k", "SECRET": "s"}, "BUS"),
        (Role("join", "berlin"), {"KEY": "k", "SECRET": "s", "BUS": "amqp://b"}, None),
        (ALL, {"KEY": "k", "SECRET": "s"}, "BUS"),
    ],
)
def test_a_process_needs_its_own_secrets_only(role: Role, held: dict[str, str], missing: str | None) -> None:
    tree = regions(**LOGIN)
    if missing is None:
        parse(tree, held, role)
    else:
        assert f"the environment variable {missing} is not set" in refused(tree, held, role)


def test_a_process_holds_its_own_secrets_only() -> None:
    environ = {"KEY": "k", "SECRET": "s", "BUS": "amqp://b"}
    for role, region, keys in (
        (HUB, "berlin", set()),
        (Role("worker", "berlin"), "berlin", {"api_key", "secret_key"}),
        (Role("worker", "tokyo"), "berlin", set()),
        (Role("bridge", "berlin"), "berlin", {"url"}),
        (Role("bridge", "tokyo"), "tokyo", {"api_key", "secret_key"}),
        (Role("join", "berlin"), "berlin", {"api_key", "secret_key", "url"}),
        (Role("join", "berlin"), "tokyo", set()),
        (ALL, "berlin", {"api_key", "secret_key", "url"}),
    ):
        settings = parse(regions(**LOGIN), environ, role)
        found = settings.region(region)
        named = {"api_key": found.api_key, "secret_key": found.secret_key, "url": found.bus.url}
        assert {key for key, value in named.items() if value is not None} == keys, role


def test_an_unknown_region_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(regions()).region("paris")
    assert str(caught.value) == "region 'paris' is not configured: the known regions are berlin, tokyo"
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(regions()))
    with pytest.raises(SettingsError, match="the known regions are berlin, tokyo"):
        load(path, Role("worker", "paris"))


def test_who_wins() -> None:
    rules = parse({"regions": [BERLIN, TOKYO, TOKYO | {"name": "oslo", "active": False}]}).rules()
    assert (rules.priority, rules.master) == (("berlin", "tokyo"), None)
    rules = parse({"topology": "master", "regions": [BERLIN, TOKYO | {"is_master": True}]}).rules()
    assert (rules.priority, rules.master) == (("tokyo", "berlin"), "tokyo")


def test_a_bare_worker_takes_its_place_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(regions(api_key="${KEY_OF_BERLIN}")))
    monkeypatch.setenv("REGION_SYNC_CONFIG", str(path))
    assert Environment().settings().region("berlin").api_key is None
    monkeypatch.setenv("REGION_SYNC_REGION", "berlin")
    with pytest.raises(SettingsError, match="KEY_OF_BERLIN is not set"):
        Environment().settings()
    monkeypatch.setenv("KEY_OF_BERLIN", "k")
    assert Environment().settings().region("berlin").api_key is not None


def test_removals_are_limited_unless_the_settings_say_otherwise() -> None:
    region = parse({"regions": [BERLIN]}).region("berlin")
    assert region.mode is Mode.APPLY
    assert region.removals.limits() == Limits(Policy.PROPAGATE, 500, 0.1, Losses(), 72 * HOUR_MS)


def test_a_region_s_mode_and_its_limits() -> None:
    removals = {"policy": "quarantine", "per_hour": None, "share": None, "losses": {"vms": 3}}
    region = parse(regions(mode="plan", removals=removals | {"quarantine_hours": 0.5})).region("berlin")
    assert region.mode is Mode.PLAN
    assert region.removals.limits() == Limits(Policy.QUARANTINE, None, None, Losses(vms=3), HOUR_MS // 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "off"}, "regions[berlin].mode: 'off' is not known: write apply or plan or paused"),
        (
            {"removals": {"policy": "ask"}},
            "regions[berlin].removals.policy: 'ask' is not known: write propagate or quarantine or hold",
        ),
        ({"removals": {"share": 10}}, "regions[berlin].removals.share: is '10', but must be at most 1"),
        ({"removals": {"losses": {"vms": -1}}}, "regions[berlin].removals.losses.vms: is '-1', but must be"),
        ({"removals": {"per_day": 1}}, "regions[berlin].removals.per_day: is not a known key"),
    ],
)
def test_wrong_limits(changes: dict[str, Any], words: str) -> None:
    assert words in refused(regions(**changes))


def test_a_region_may_say_everything_unless_the_settings_limit_it() -> None:
    rules = parse({"regions": [BERLIN, TOKYO | {"authoritative_for": []}]}).rules()
    assert rules.sources == {"berlin": None, "tokyo": ()}
    given = [{"domain": "/acme/sales", "kinds": ["Account", "User"]}, {"domain": "/"}]
    assert parse(regions(authoritative_for=given)).rules().sources["berlin"] == (
        Source(("acme", "sales"), frozenset({Kind.ACCOUNT, Kind.USER})),
        Source(),
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            [{"domain": "acme"}],
            "[number 1].domain: 'acme' is no path: it must begin with '/'",
        ),
        (
            [{"domain": "/acme/"}],
            "[number 1].domain: '/acme/' names a domain without a name",
        ),
        (
            [{"domain": "//acme"}],
            "[number 1].domain: '//acme' names a domain without a name",
        ),
        ([{"kinds": ["Host"]}], "kinds: 'Host' is no kind: write some of Domain, Account, User"),
        ([{"kinds": ["user"]}], "kinds: 'user' is no kind: write some of Domain, Account, User"),
        ([{"kinds": [{}]}], "kinds: '{}' is no kind: write some of Domain, Account, User"),
        ([{"kinds": []}], "kinds: is empty, or names a kind twice"),
        ([{"kinds": ["User", "User"]}], "kinds: is empty, or names a kind twice"),
        ([{"kinds": "User"}], "kinds: is not a list"),
        ([{"domain": "/a"}, {"domain": "/A"}], "authoritative_for: /A is there twice (case does not count)"),
        ([{"path": "/a"}], "authoritative_for[number 1].path: is not a known key"),
        ("/a", "authoritative_for: is not a list"),
    ],
)
def test_wrong_authority(given: Any, words: str) -> None:
    told = refused(regions(authoritative_for=given))
    assert words in told
    assert told.startswith("regions.yaml: regions[berlin].authoritative_for")


def test_check_tells_what_a_region_is_a_source_for_and_what_nobody_is() -> None:
    def told(*given: Any) -> list[str]:
        two = [BERLIN | {"authoritative_for": given[0]}, TOKYO | {"authoritative_for": given[1]}]
        return [
            f"{one.region} {one.detail}"
            for one in of_settings(parse({"regions": two}))
            if "source" in one.detail
        ]

    assert told(None, None) == []
    assert told(None, []) == ["tokyo is a source for nothing: it is a mirror"]
    found = told([{"domain": "/a"}], [{"kinds": ["User"]}])
    assert found[:2] == ["berlin is a source for /a", "tokyo is a source for / (User)"]
    assert "no region is a source for everything" in found[2]


def test_check_tells_between_which_regions_limits_are_carried() -> None:
    def told(*on: bool) -> list[str]:
        two = [one | {"limits": given} for one, given in zip((BERLIN, TOKYO), on, strict=True)]
        found = of_settings(parse({"regions": two}))
        return [f"{one.verdict} {one.detail}" for one in found if "limits" in one.detail]

    assert told(False, False) == []
    assert told(True, False) == ["warn limits are on in berlin alone: they are carried nowhere"]
    assert told(True, True) == ["ok limits are carried between berlin, tokyo"]

    def joins(*on: bool) -> list[str]:
        two = [one | {"limits": given} for one, given in zip((BERLIN, TOKYO), on, strict=True)]
        settings = parse({"regions": [two[0], two[1] | {"active": False}]})
        found = joining.of_settings(settings, settings.region("tokyo"))
        return [f"{one.verdict} {one.detail}" for one in found if "limits" in one.detail]

    assert joins(False, False) == []
    assert joins(True, False) == ["warn limits are on in berlin alone: they are carried nowhere"]
    assert joins(False, True) == ["warn limits are on in tokyo alone: they are carried nowhere"]
    assert joins(True, True) == ["ok limits are carried between berlin, tokyo"]


def test_processes_of_one_machine_have_pages_of_their_own() -> None:
    settings = parse(regions())
    ports = [settings.web_port(), settings.web_port("berlin"), settings.web_port("tokyo")]
    assert ports == [6066, 6067, 6068]
    assert settings.web.host == "127.0.0.1"
    assert settings.web.token is None
    off = parse({**regions(), "web": {"port": None}})
    free = parse({**regions(), "web": {"port": 0}})
    assert [one.web_port(name) for one in (off, free) for name in (None, "tokyo")] == [None, None, 0, 0]


def test_a_token_is_long_and_only_where_there_are_pages() -> None:
    with pytest.raises(SettingsError, match=r"web\.token: is shorter than 16 characters"):
        parse({**regions(), "web": {"token": "short"}})
    tree = {**regions(), "web": {"token": "${WEB_TOKEN}"}}
    token = parse(tree, {"WEB_TOKEN": "x" * 16}).web.token
    assert token is not None and token.get_secret_value() == "x" * 16
    with pytest.raises(SettingsError, match="WEB_TOKEN is not set"):
        parse(tree, {}, HUB)
    assert parse(tree, {}, Role("bridge", "berlin")).web.token is None
    assert parse({**regions(), "web": {"token": "y" * 16}}).plain_secrets[0] == "web.token"
