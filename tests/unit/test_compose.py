"""What docker-compose.yml starts fits the program: its commands, its settings, the sandbox's keys; and what
watches it fits the metrics, the ports and the dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from typer.main import get_command

from pipeline.cli.program import build
from pipeline.config.roles import HUB, Role
from pipeline.sandbox.region import Region
from pipeline.settings import Settings
from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "docker/regions.yaml"
COMPOSE = (ROOT / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")
GO_MODULE = "github.com/compose-spec/compose-go/v2@v2.9.0"
GO_SUM = "h1:UHSv/QHlo6QJtrT4igF1rdORgIUhDo1gWuyJUoiNNIM="
SECRET = re.compile(r"PASSWORD|_KEY$|TOKEN")
GIVEN = dict(
    line.split("=", 1) for line in (ROOT / "docker/sandbox.env").read_text().splitlines() if line[0] != "#"
)
"""What the sandbox's file gives."""


class Missing(Exception):
    """The sentence that compose ends with."""


def filled(text: str, given: dict[str, str]) -> str:
    """As compose replaces variables (the specification's chapter "Interpolation")."""

    def value(match: re.Match[str]) -> str:
        name, how, words = match.groups()
        if given.get(name):
            return given[name]
        if how == ":?":
            raise Missing(f"{name}: {words}")
        assert how == ":-", f"{match[0]} would silently be empty"
        return str(words)

    return VARIABLE.sub(value, text).replace("$$", "$")


def composed(text: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(text)
    return read


SERVICES: dict[str, Any] = composed(filled(COMPOSE, GIVEN))["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"] == "region-sync:local"}
PROCESSES = {name: one for name, one in OURS.items() if name not in ("sandbox", "migrate")}


def role(name: str) -> Role:
    kind, _, region = name.partition("-")
    return HUB if kind in ("hub", "migrate") else Role("worker" if kind == "worker" else "bridge", region)


def settings(name: str) -> Settings:
    """As that service's process reads them, out of its own environment."""
    given = {key: str(value) for key, value in OURS[name].get("environment", {}).items()}
    return Settings.load(SETTINGS, given, role(name))


def port(name: str) -> int | None:
    """Where that process answers, as its settings say."""
    kind, _, region = name.partition("-")
    if kind == "bridge":
        return settings(name).region(region).bus.bridge_port
    return settings(name).web_port(region or None)


@pytest.fixture(scope="module")
def schema() -> Any:
    """The compose specification's own, from the module that docker compose reads its files with."""
    try:
        go = (
            shutil.which("go")
            or shutil.which("go", path="/usr/local/go/bin")
            or debian.require("go", ["golang-go"])
        )
    except ServiceUnavailable as error:
        refuse(str(error))
    done = subprocess.run(
        [go, "mod", "download", "-json", GO_MODULE], cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        refuse(f"{GO_MODULE} can't be had: {done.stdout[-300:]} {done.stderr[-300:]}")
    found = json.loads(done.stdout)
    assert found["Sum"] == GO_SUM
    return json.loads((Path(found["Dir"]) / "schema/compose-spec.json").read_text())


def test_it_keeps_to_the_compose_specification(schema: Any) -> None:
    keeper = jsonschema.Draft7Validator(schema)
    keeper.validate(composed(COMPOSE))
    keeper.validate(composed(filled(COMPOSE, GIVEN)))
    with pytest.raises(jsonschema.ValidationError, match="helthcheck"):
        keeper.validate(composed(COMPOSE.replace("healthcheck: *health", "helthcheck: *health")))


def test_there_is_a_process_of_each_kind_for_every_region() -> None:
    regions = yaml.safe_load(SETTINGS.read_text())["regions"]
    expected = {"sandbox", "migrate", "hub"}
    expected |= {f"{kind}-{region['name']}" for kind in ("bridge", "worker") for region in regions}
    assert set(OURS) == expected


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_the_program_knows(name: str) -> None:
    lines = [OURS[name]["command"]]
    checked = OURS[name]["healthcheck"].get("test", [])
    lines += [checked[2:]] if checked[1:2] == ["region-sync"] else []
    for line in lines:
        command: Any = get_command(build())
        words = [str(word) for word in line]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("x", words)  # raises for an option, or a value, that it does not know


@pytest.mark.parametrize("name", [one for one in OURS if one != "sandbox"])
def test_each_process_is_given_the_secrets_that_it_needs_and_no_others(name: str) -> None:
    assert settings(name).regions
    given = {key for key in OURS[name].get("environment", {}) if SECRET.search(key)}
    kind, _, region = name.partition("-")
    keys = {f"{region.upper()}_API_KEY", f"{region.upper()}_SECRET_KEY"}
    needed = {"bridge": {"BUS_PASSWORD"}, "worker": keys | {"DATABASE_PASSWORD"}}
    assert given == needed.get(kind, {"DATABASE_PASSWORD"})


def test_the_keys_are_the_sandbox_s_own() -> None:
    for name in ("r1", "r2", "r3"):
        key = Region(name, 1, lambda: 0).service
        assert (GIVEN[f"{name.upper()}_API_KEY"], GIVEN[f"{name.upper()}_SECRET_KEY"]) == (
            key.apikey,
            key.secretkey,
        )


def test_no_password_has_a_default_and_what_is_missing_is_asked_for() -> None:
    needed = {match[1] for match in VARIABLE.finditer(COMPOSE)}
    assert needed == set(GIVEN), "the sandbox's file gives just what is asked for"
    for name in needed:
        with pytest.raises(Missing, match=f"{name}: give {name}, "):
            filled(COMPOSE, {key: value for key, value in GIVEN.items() if key != name})
    for service in composed(COMPOSE)["services"].values():
        for key, value in service.get("environment", {}).items():
            plain = SECRET.search(key) and "RANDOM" not in key
            assert not plain or str(value).startswith("${"), key


def test_the_sandbox_is_there_only_when_asked_for_and_nothing_needs_it() -> None:
    assert [name for name, one in SERVICES.items() if one.get("profiles")] == ["sandbox"]
    waits = [one["depends_on"].get("sandbox") for one in SERVICES.values() if "depends_on" in one]
    assert {wait["required"] for wait in waits if wait} == {False}
    (command,) = re.findall(r"^#   docker compose (.*)$", COMPOSE, re.MULTILINE)
    assert command.split()[:4] == ["--env-file", "docker/sandbox.env", "--profile", "sandbox"]
    assert f"docker compose {command}" in (ROOT / "README.md").read_text()


def test_each_service_says_how_it_is_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        checked = service["healthcheck"]
        assert name == "migrate" or checked["test"][0] == "CMD", name
        for other, how in service.get("depends_on", {}).items():
            ends = other == "migrate"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy"), name
    needs = {name: set(one.get("depends_on", {})) - {"sandbox"} for name, one in SERVICES.items()}
    assert needs["migrate"] == {"mariadb"}
    assert needs["hub"] == {"mariadb", "kafka", "migrate"}
    for name in PROCESSES.keys() - {"hub"}:
        assert needs[name] == {"kafka", "hub", "mariadb" if name.startswith("worker") else "rabbitmq"}


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_is_asked_where_it_answers(name: str) -> None:
    asked = urlsplit(PROCESSES[name]["environment"]["REGION_SYNC_HEALTH_URL"])
    assert (asked.hostname, asked.port) == ("127.0.0.1", port(name))
    assert PROCESSES[name]["healthcheck"]["test"] == ["CMD", "region-sync", "health", "--ready"]
    assert settings(name).web.host == "0.0.0.0"


def test_ports_are_this_machine_s_alone() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    inside = {"hub": port("hub"), "prometheus": 9090, "grafana": 3000}
    assert published == {name: [f"127.0.0.1:{number}:{number}"] for name, number in inside.items()}


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_may_become_more_than_he_is(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"privileged", "network_mode", "pid", "devices"} & service.keys()
    if "cap_add" in service:
        assert name in ("rabbitmq", "mariadb"), "their entry points begin as root"
    if name in OURS or name in ("prometheus", "grafana"):
        assert service["read_only"] is True
        assert service["tmpfs"]
    if name not in OURS:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]), "a version, to the last number"


def test_what_is_mounted_is_there_and_read_only_and_data_is_kept_in_volumes() -> None:
    kept = []
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target, *how = mount.split(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert how == ["ro"], mount
            else:
                kept.append(source)
                assert target.startswith("/"), mount
    assert sorted(kept) == sorted(composed(COMPOSE)["volumes"])


def scraped() -> Iterator[str]:
    config = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for static in job["static_configs"]:
            yield from static["targets"]


def test_prometheus_asks_every_process_where_it_answers() -> None:
    assert sorted(scraped()) == sorted(f"{name}:{port(name)}" for name in PROCESSES)


def test_prometheus_understands_its_settings_and_the_rules_that_it_makes(tmp_path: Path) -> None:
    """By the very words of the container, with its paths put below a folder."""
    try:
        promtool = debian.require("promtool", ["prometheus"])
    except ServiceUnavailable as error:
        refuse(str(error))
    (words,) = SERVICES["prometheus"]["command"]
    making = words.partition(" && ")[0].replace("/etc/region-sync/", f"{ROOT}/k8s/monitoring/")
    subprocess.run(["/bin/sh", "-ec", making.replace("/tmp/", f"{tmp_path}/")], check=True)
    rules = yaml.safe_load((tmp_path / "alerts.yaml").read_text())
    assert rules == yaml.safe_load((ROOT / "k8s/monitoring/alerts.yaml").read_text())["spec"]
    config = (ROOT / "docker/prometheus/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(config.replace("/tmp/alerts.yaml", f"{tmp_path}/alerts.yaml"))
    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules['groups'][0]['rules'])} rules found" in done.stdout


def test_grafana_opens_with_our_dashboard_over_that_prometheus() -> None:
    (source,) = yaml.safe_load((ROOT / "docker/grafana/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert urlsplit(source["url"]).hostname in SERVICES
    dashboard = json.loads((ROOT / "k8s/monitoring/dashboard.json").read_text())
    (chosen,) = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert (chosen["query"], source["isDefault"]) == (source["type"], True)
    used = {(one["datasource"]["type"], one["datasource"]["uid"]) for one in dashboard["panels"]}
    assert used == {(source["type"], "${datasource}")}
    (provider,) = yaml.safe_load((ROOT / "docker/grafana/dashboards/region-sync.yaml").read_text())[
        "providers"
    ]
    grafana = SERVICES["grafana"]
    opened = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(opened.parent) == provider["options"]["path"]
    assert f"./k8s/monitoring/dashboard.json:{opened}:ro" in grafana["volumes"]
