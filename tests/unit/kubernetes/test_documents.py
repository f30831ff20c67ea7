"""k8s/README.md says what is so: its commands, its secrets, its paths."""

from __future__ import annotations

import re
import shlex
from typing import Any

from typer.main import get_command

from pipeline.cli.program import build
from tests.services import manifests
from tests.unit.kubernetes.objects import Overlay

README = (manifests.ROOT / "k8s/README.md").read_text()
KINDS = {"deploy": "Deployment", "service": "Service", "delete job": "Job", "cronjob": "CronJob"}
COMMANDS = re.findall(r"(?:^\s*|`)((?:kubectl|region-sync) [^`\n]+)", README, re.MULTILINE)


def test_every_command_of_ours_is_one_that_the_program_knows() -> None:
    ours = [
        line.split("region-sync ", 1)[1] for line in COMMANDS if re.search(r"(^|-- )region-sync \w", line)
    ]
    ours = [line.split("-- region-sync ")[-1] for line in ours]
    assert len(ours) >= 3
    for line in ours:
        words = shlex.split(line)
        command: Any = get_command(build())
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        assert not hasattr(command, "commands") or not words or command.name == "region-sync", line


def test_what_is_applied_is_there() -> None:
    paths = [path for line in COMMANDS for path in re.findall(r"-[kf] (k8s/\S+)", line)]
    assert len(paths) >= 4
    for path in paths:
        assert (manifests.ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^)#]+)", README):
        assert path.startswith("http") or (manifests.ROOT / "k8s" / path).exists(), path


def test_what_is_named_in_the_cluster_is_there(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    for line in COMMANDS:
        for kind, name in re.findall(r"(deploy|service|delete job|cronjob)[/ ](\w+)", line):
            overlay.one(KINDS[kind], name)
        if "-n " in line:
            assert "-n region-sync" in line
    (pod,) = [pod for pod in overlay.ours() if pod.name == "hub"]
    assert {"hub", "tables"} == {container["name"] for container in pod.containers}
    made = {volume["configMap"]["name"] for volume in pod.spec["volumes"] if "configMap" in volume}
    assert "authorities" in made
    region = {label for one in overlay.objects for label in one["metadata"].get("labels", {})}
    assert "region-sync/region" in region


def test_the_labels_of_namespaces_are_those_of_the_policies(overlays: dict[str, Overlay]) -> None:
    asked = {
        f"{key}={value}"
        for policy in overlays["example"].of("NetworkPolicy")
        for rule in [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]
        for peer in [*rule.get("from", ()), *rule.get("to", ())]
        for key, value in peer.get("namespaceSelector", {}).get("matchLabels", {}).items()
    }
    said = {line.split()[-1] for line in COMMANDS if line.startswith("kubectl label namespace")}
    assert said == asked - {"kubernetes.io/metadata.name=kube-system"}


def test_the_secrets_are_those_of_the_example(overlays: dict[str, Overlay]) -> None:
    table = {
        name: set(re.findall(r"`([A-Z_]+)`", keys))
        for name, keys in re.findall(r"^ +\| (.+) \| (`[A-Z_]+`.*)\|$", README, re.MULTILINE)
    }
    said = {
        "bridge-tokyo": "the same with `eventlog`",
        "worker-berlin": "the same with `sealing_key` and `user_database`",
    }
    asked = {
        said.get(name, f"`{re.sub('-(berlin|tokyo)$', '-REGION', name)}`"): set(keys)
        for name, keys in overlays["example"].secret_keys().items()
    }
    assert table == asked


def test_every_authority_of_the_settings_is_put_where_they_look(overlays: dict[str, Overlay]) -> None:
    (making,) = [line for line in COMMANDS if line.startswith("kubectl create configmap authorities")]
    made = set(re.findall(r"--from-file=(\S+)", making))
    assert made == set(
        re.findall(r"authorities/(\S+\.pem)", (overlays["example"].folder / "regions.yaml").read_text())
    )


def test_the_numbers_are_those_of_the_manifests(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    scaled = overlay.one("ScaledObject", "hub")["spec"]
    assert f"from {scaled['minReplicaCount']} to {scaled['maxReplicaCount']}" in README
    assert f"({scaled['triggers'][0]['metadata']['lagThreshold']} each)" in README
    ttl = overlay.one("Job", "migrate")["spec"]["ttlSecondsAfterFinished"]
    assert f"after {ttl // 60}\nminutes" in README
