"""What a test asks of an overlay: its pods, what selects them, which process each is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.roles import HUB, Role
from pipeline.settings import Settings
from tests.services.manifests import Manifest, documents

ONCE = ("migrate", "grow")
"""What runs to its end, and serves nobody."""
NAME, COMPONENT, REGION = "app.kubernetes.io/name", "app.kubernetes.io/component", "region-sync/region"


@dataclass(frozen=True)
class Pod:
    """A template of pods, and what it stands in."""

    owner: Manifest

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def template(self) -> Manifest:
        found: Manifest = _spec(self.owner)["template"]
        return found

    @property
    def spec(self) -> Manifest:
        found: Manifest = self.template["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def ours(self) -> bool:
        return self.labels[NAME] == "region-sync"

    @property
    def component(self) -> str:
        return self.labels[COMPONENT]

    @property
    def serves(self) -> bool:
        return self.component not in ONCE

    @property
    def region(self) -> str | None:
        return self.labels.get(REGION)

    @property
    def main(self) -> Manifest:
        (found,) = self.spec["containers"]
        return dict(found)

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def role(self) -> Role:
        if self.region is None:
            return HUB
        return Role("worker" if self.component == "worker" else "bridge", self.region)


@dataclass(frozen=True)
class Overlay:
    """One overlay, and all that it makes."""

    folder: Path
    objects: list[Manifest]
    regions: Path
    """Its settings, with the authorities' certificates at a place of this machine."""
    values: dict[str, str] = field(default_factory=dict)
    """Of those keys of secrets that can't hold just anything."""

    def of(self, kind: str) -> list[Manifest]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Pod]:
        return [Pod(one) for one in self.objects if "template" in _spec(one)]

    def ours(self) -> list[Pod]:
        return [pod for pod in self.pods() if pod.ours]

    def secret_keys(self) -> dict[str, dict[str, str]]:
        """Secret → its keys and values: those that the overlay makes, else those of its example."""
        made = {
            one["metadata"]["name"]: {
                key: base64.b64decode(value).decode() for key, value in one["data"].items()
            }
            for one in self.of("Secret")
        }
        example = self.folder / "external-secrets.yaml"
        for one in documents(example.read_text()) if example.exists() else ():
            made[one["metadata"]["name"]] = {
                key: self.values.get(key, "x")
                for entry in one["spec"]["data"]
                for key in [entry["secretKey"]]
            }
        return made

    def config(self, name: str) -> dict[str, str]:
        """The data of a ConfigMap by its name in a pod."""
        found: dict[str, str] = self.one("ConfigMap", name)["data"]
        return found

    def environment(self, pod: Pod, container: Manifest) -> dict[str, str]:
        """What the kubelet would give a container."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.secret_keys()[source["secretRef"]["name"]]
        for entry in container.get("env", ()):
            found[entry["name"]] = self._value(pod, entry)
        return found

    def _value(self, pod: Pod, entry: Manifest) -> str:
        source = entry.get("valueFrom", {})
        if "configMapKeyRef" in source:
            return self.config(source["configMapKeyRef"]["name"])[source["configMapKeyRef"]["key"]]
        if "fieldRef" in source:
            path = source["fieldRef"]["fieldPath"]
            return pod.labels[path.removeprefix("metadata.labels['").removesuffix("']")]
        return str(entry["value"])

    def settings(self, pod: Pod) -> Settings:
        """As this pod's process reads them."""
        return Settings.load(self.regions, self.environment(pod, pod.main), pod.role)

    def policies(self, pod: Pod) -> Iterator[Manifest]:
        """The NetworkPolicies that hold for a pod."""
        for one in self.of("NetworkPolicy"):
            if selects(one["spec"]["podSelector"], pod.labels):
                yield one


def _spec(owner: Manifest) -> Manifest:
    """Of a CronJob the spec of its jobs."""
    spec: Manifest = owner.get("spec", {})
    found: Manifest = spec.get("jobTemplate", {}).get("spec", spec)
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches."""
    for rule in selector.get("matchExpressions", ()):
        if rule["operator"] != "In":
            raise ValueError(f"no test knows the operator {rule['operator']}")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
