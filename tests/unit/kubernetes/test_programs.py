"""What the manifests start fits the program: commands, settings, secrets, ports, probes, topics."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from pipeline import unprotected
from pipeline.cli.program import build, call
from pipeline.config.source import SettingsError
from pipeline.core import topics
from pipeline.metrics.routes import LIVE, READY
from pipeline.sandbox.region import Region
from pipeline.settings import Settings
from pipeline.turning import LAST_S, STOPPED_S
from pipeline.worker import STOP_LIMIT_S
from tests.services import manifests
from tests.unit.kubernetes.conftest import Open
from tests.unit.kubernetes.objects import COMPONENT, NAME, REGION, Overlay, Pod, selects

K8S = manifests.ROOT / "k8s"
EXPECTED = {
    "hub": ["worker", "hub"],
    "worker": ["worker", "region", "--region", "{region}"],
    "bridge": ["bridge", "--region", "{region}"],
    "migrate": ["migrate"],
    "grow": ["grow"],
}


def named(overlay: Overlay) -> list[str]:
    """The regions of the settings."""
    return [one["name"] for one in yaml.safe_load((overlay.folder / "regions.yaml").read_text())["regions"]]


def arguments(overlay: Overlay, pod: Pod, container: dict[str, Any]) -> list[str]:
    """A container's arguments as the kubelet fills them in."""
    given = overlay.environment(pod, container)
    return [re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], word) for word in container["args"]]


def test_there_is_a_process_of_each_kind_for_every_region(overlay: Overlay) -> None:
    expected = {("hub", None), ("migrate", None), ("grow", None)}
    expected |= {(kind, region) for kind in ("bridge", "worker") for region in named(overlay)}
    assert sorted(map(str, expected)) == sorted(str((pod.component, pod.region)) for pod in overlay.ours())


def test_every_command_is_one_that_the_program_knows(overlay: Overlay) -> None:
    for pod in overlay.pods():
        for container in pod.containers:
            if not container["image"].split(":")[0].endswith("region-sync"):
                continue
            command: Any = get_command(build())
            words = arguments(overlay, pod, container)
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= options, pod.name


def test_each_pod_runs_what_its_labels_say(overlay: Overlay) -> None:
    for pod in overlay.ours():
        expected = [word.format(region=pod.region) for word in EXPECTED[pod.component]]
        assert arguments(overlay, pod, pod.main) == expected


def test_what_waits_for_the_tables_waits_with_the_pod_s_own_account(overlay: Overlay) -> None:
    for pod in overlay.ours():
        if pod.component not in ("hub", "worker"):
            assert "initContainers" not in pod.spec
            continue
        (waiting,) = pod.spec["initContainers"]
        assert arguments(overlay, pod, waiting) == ["outbox", "list", "--limit", "1"]
        for part in ("envFrom", "env", "volumeMounts", "image", "securityContext"):
            assert waiting[part] == pod.main[part]


def test_what_waits_for_the_tables_goes_on_when_the_migration_is_done(
    overlays: dict[str, Overlay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = {pod.component: pod for pod in overlays["sandbox"].ours()}
    waiting = commands["worker"].spec["initContainers"][0]["args"]
    config = tmp_path / "regions.yaml"
    region = "{name: r1, host: 'http://127.0.0.1:1', api_key: key, secret_key: secret}"
    config.write_text(f"database: sqlite:///{tmp_path / 'audit.db'}\nregions: [{region}]\n")
    monkeypatch.setenv("REGION_SYNC_CONFIG", str(config))
    assert call(waiting) == 1
    assert call(commands["migrate"].main["args"]) == 0
    assert call(waiting) == 0


def test_each_process_is_given_the_secrets_that_it_needs_and_no_others(overlay: Overlay) -> None:
    path = overlay.regions
    for pod in overlay.ours():
        given = overlay.environment(pod, pod.main)
        Settings.load(path, given, pod.role)
        for key in given:
            if key in ("REGION", "REGION_SYNC_CONFIG"):
                continue
            with pytest.raises(SettingsError, match=key):
                Settings.load(path, {name: text for name, text in given.items() if name != key}, pod.role)


def test_no_two_kinds_of_process_share_a_secret_but_the_hub_and_its_migration(overlay: Overlay) -> None:
    used = {pod.name: source["secretRef"]["name"] for pod in overlay.ours() for source in pod.main["envFrom"]}
    assert used.pop("migrate") == used["hub"]
    assert len(set(used.values())) == len(used)
    assert set(used.values()) <= set(overlay.secret_keys())


def test_the_settings_are_where_the_program_looks(overlay: Overlay) -> None:
    for pod in overlay.ours():
        for container in pod.containers:
            folder = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            config = Path(overlay.environment(pod, container)["REGION_SYNC_CONFIG"])
            (volume,) = [one for one in pod.spec["volumes"] if one["name"] == folder[str(config.parent)]]
            text = overlay.config(volume["configMap"]["name"])[config.name]
            assert text == (overlay.folder / "regions.yaml").read_text()


def test_certificates_are_looked_for_where_they_are_mounted(overlay: Overlay) -> None:
    for path in re.findall(r"(/etc/\S+\.pem)", (overlay.folder / "regions.yaml").read_text()):
        for pod in overlay.ours():
            assert str(Path(path).parent) in {mount["mountPath"] for mount in pod.main["volumeMounts"]}


def test_ports_and_probes_are_the_program_s(overlay: Overlay) -> None:
    for pod in overlay.ours():
        if not pod.serves:
            continue
        settings = overlay.settings(pod)
        assert settings.web.host == "0.0.0.0"
        if pod.component == "bridge":
            port = settings.region(str(pod.region)).bus.bridge_port
        else:
            port = settings.web_port(pod.region)
        assert pod.main["ports"] == [{"name": "http", "containerPort": port}]
        for probe, path in (("startupProbe", LIVE), ("livenessProbe", LIVE), ("readinessProbe", READY)):
            assert pod.main[probe]["httpGet"] == {"path": path, "port": "http"}
        patience = pod.main["livenessProbe"]["periodSeconds"] * pod.main["livenessProbe"]["failureThreshold"]
        assert patience > STOPPED_S + LAST_S  # or nobody is told where the loop hung


def test_a_pod_has_more_time_to_end_than_a_call_and_a_stop_take(overlay: Overlay) -> None:
    for pod in overlay.ours():
        if not pod.serves:
            continue
        slowest = max(region.timeout_s for region in overlay.settings(pod).regions)
        assert pod.spec["terminationGracePeriodSeconds"] > slowest + STOP_LIMIT_S


def test_what_scales_looks_at_the_topics_and_groups_of_the_code(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    scaled = {}
    for one in overlay.of("ScaledObject"):
        target = one["spec"]["scaleTargetRef"]["name"]
        scaled[target] = {
            (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"])
            for trigger in one["spec"]["triggers"]
        }
        (pod,) = [pod for pod in overlay.ours() if pod.name == target]
        settings = overlay.settings(pod)
        assert 2 <= one["spec"]["minReplicaCount"] <= one["spec"]["maxReplicaCount"] <= settings.partitions
        assert "replicas" not in pod.owner["spec"]
        for trigger in one["spec"]["triggers"]:
            assert trigger["metadata"]["bootstrapServersFromEnv"] in overlay.environment(pod, pod.main)
            assert trigger["metadata"]["tls"] == "enable"
            overlay.one("TriggerAuthentication", trigger["authenticationRef"]["name"])
    expected = {"hub": {(topics.HUB_GROUP, topics.OBSERVATIONS)}}
    for region in named(overlay):
        group = topics.region_group(region)
        expected[f"worker-{region}"] = {(group, topics.desired(region)), (group, topics.events(region))}
    assert scaled == expected


def test_the_scaler_s_log_in_is_one_of_the_secrets(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    entries = overlay.one("TriggerAuthentication", "kafka")["spec"]["secretTargetRef"]
    assert {(one["name"], one["key"]) for one in entries} == {
        ("scaler", key) for key in overlay.secret_keys()["scaler"]
    }


def test_nothing_of_the_example_crosses_a_network_unprotected(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    for pod in overlay.ours():
        settings = overlay.settings(pod)
        assert list(unprotected.of_all(settings)) == []
        assert settings.plain_secrets == ()


def test_the_alerts_and_the_dashboard_are_those_of_the_repository(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    source = yaml.safe_load((K8S / "monitoring/alerts.yaml").read_text())
    assert overlay.one("PrometheusRule", "region-sync")["spec"] == source["spec"]
    dashboard = overlay.one("ConfigMap", "dashboard")
    assert dashboard["data"]["region-sync.json"] == (K8S / "monitoring/dashboard.json").read_text()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    selector = overlay.one("PodMonitor", "region-sync")["spec"]["selector"]
    for pod in overlay.ours():
        assert selects(selector, pod.labels) is pod.serves


def test_the_image_and_its_user(overlay: Overlay) -> None:
    uid = re.search(r"--uid (\d+)", (manifests.ROOT / "Dockerfile").read_text())
    assert uid is not None
    home = re.search(r"WORKDIR (/var\S+)", (manifests.ROOT / "Dockerfile").read_text())
    assert home is not None
    for pod in overlay.ours():
        assert pod.spec["securityContext"]["runAsUser"] == int(uid[1])
        assert home[1] in {mount["mountPath"] for mount in pod.main["volumeMounts"]}
    assert len({one["image"] for pod in overlay.ours() for one in pod.containers}) == 1


def test_the_sandbox_is_the_one_of_compose(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["sandbox"]
    composed = yaml.safe_load((manifests.ROOT / "docker-compose.yml").read_text())["services"]
    for pod in overlay.pods():
        if not pod.ours and pod.name != "sandbox":
            assert pod.main["image"] == composed[pod.name]["image"]
    for pod in overlay.ours():
        if pod.component == "worker":
            key = Region(str(pod.region), 1, lambda: 0).service
            given = overlay.environment(pod, pod.main)
            assert (given["API_KEY"], given["SECRET_KEY"]) == (key.apikey, key.secretkey)


def test_the_sandbox_listens_where_the_settings_say(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["sandbox"]
    for pod in overlay.ours():
        settings = overlay.settings(pod)
        hosts = [settings.kafka, *(str(region.host) for region in settings.regions)]
        for host in hosts:
            address = urlsplit(host if "://" in host else f"kafka://{host}")
            service = overlay.one("Service", str(address.hostname))
            assert address.port in [port["port"] for port in service["spec"]["ports"]]
            (target,) = [
                one
                for one in overlay.pods()
                if selects({"matchLabels": service["spec"]["selector"]}, one.labels)
            ]
            assert {port["name"] for port in target.main["ports"]} >= {
                port["targetPort"] for port in service["spec"]["ports"]
            }


def test_a_new_region_is_one_file_a_line_and_its_settings(tmp_path: Path, opened: Open) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    example = tmp_path / "k8s/overlays/example"
    text = (example / "regions/berlin/kustomization.yaml").read_text()
    (example / "regions/new-york").mkdir()
    mine = text.replace("berlin", "new-york").replace("6067", "6069")
    (example / "regions/new-york/kustomization.yaml").write_text(mine)
    overlay = example / "kustomization.yaml"
    overlay.write_text(
        overlay.read_text().replace("  - regions/tokyo\n", "  - regions/tokyo\n  - regions/new-york\n")
    )
    made = opened(example)
    assert {pod.region for pod in made.ours()} == {None, "berlin", "tokyo", "new-york"}
    for pod in made.ours():
        if pod.region == "new-york":
            (secret,) = pod.main["envFrom"]
            assert secret["secretRef"]["name"] == f"{pod.component}-new-york" == pod.name
            assert pod.labels == {NAME: "region-sync", COMPONENT: pod.component, REGION: "new-york"}
    (trigger, _) = made.one("ScaledObject", "worker-new-york")["spec"]["triggers"]
    assert trigger["metadata"]["topic"] == topics.desired("new-york")
