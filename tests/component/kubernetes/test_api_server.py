"""A real API server takes every object of k8s/, dry and for good, and lets the pods in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services import manifests
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.kubernetes import ApiServer, Etcd
from tests.services.manifests import Manifest
from tests.unit.kubernetes.objects import Overlay, Pod

K8S = manifests.ROOT / "k8s"
NAMESPACES = {"example": "region-sync", "sandbox": "region-sync-sandbox"}


@pytest.fixture(scope="module")
def server(services_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With the definitions of the operators, and a namespace for each overlay with nothing of ours in it."""
    folder = tmp_path_factory.mktemp("kubernetes")
    etcd = Etcd(folder / "etcd", services_cache)
    one = ApiServer(folder / "api", services_cache, etcd)
    try:
        etcd.provision()
        one.provision()
        definitions = yaml.safe_dump_all(manifests.definitions(services_cache))
    except ServiceUnavailable as error:
        refuse(str(error))
        raise
    with etcd, one:
        done(one, "apply", "--server-side", "-f", "-", given=definitions)
        done(one, "wait", "crd", "--all", "--for=condition=Established", "--timeout=120s")
        for name in manifests.OVERLAYS:
            (namespace,) = [each for each in built(one, name) if each["kind"] == "Namespace"]
            done(one, "apply", "-f", "-", given=json.dumps(namespace))
            # what a controller makes in each namespace of a whole cluster
            done(one, "create", "serviceaccount", "default", "-n", namespace["metadata"]["name"])
        yield one


@pytest.fixture(scope="module")
def applied(server: ApiServer) -> ApiServer:
    """With both overlays."""
    for name in manifests.OVERLAYS:
        assert len(done(server, "apply", "-k", str(K8S / "overlays" / name))) == len(built(server, name))
    return server


def done(server: ApiServer, *arguments: str, given: str | None = None) -> list[str]:
    """What kubectl says; it must succeed, and warn of nothing."""
    ended = server.kubectl(*arguments, given=given)
    assert ended.returncode == 0, ended.stderr
    assert [line for line in ended.stderr.splitlines() if line.startswith("Warning")] == []
    return ended.stdout.splitlines()


def built(server: ApiServer, name: str) -> list[Manifest]:
    """An overlay as kubectl's own kustomize builds it."""
    return manifests.documents("\n".join(done(server, "kustomize", str(K8S / "overlays" / name))))


@pytest.mark.parametrize("name", manifests.OVERLAYS)
def test_the_server_takes_every_object(server: ApiServer, name: str) -> None:
    objects = built(server, name)
    assert {one["metadata"]["namespace"] for one in objects if one["kind"] != "Namespace"} == {
        NAMESPACES[name]
    }
    folder = str(K8S / "overlays" / name)
    assert len(done(server, "apply", "-k", folder, "--dry-run=server", "--validate=strict")) == len(objects)


def test_applied_again_nothing_is_restarted(applied: ApiServer) -> None:
    before = generations(applied)
    assert {"hub", "worker-berlin", "bridge-tokyo"} <= set(before)
    done(applied, "apply", "-k", str(K8S / "overlays/example"))
    assert generations(applied) == before


def test_kubectl_builds_what_kustomize_builds(server: ApiServer, services_cache: Path) -> None:
    for name in manifests.OVERLAYS:
        assert built(server, name) == manifests.build(services_cache, K8S / "overlays" / name)


@pytest.mark.parametrize("name", manifests.OVERLAYS)
def test_pod_security_lets_every_pod_in(applied: ApiServer, name: str) -> None:
    folder = K8S / "overlays" / name
    pods = Overlay(folder, built(applied, name), folder / "regions.yaml").pods()
    listed = {"apiVersion": "v1", "kind": "List", "items": [alone(pod) for pod in pods]}
    lines = done(applied, "create", "--dry-run=server", "-f", "-", given=json.dumps(listed))
    assert lines == [f"pod/{pod.name} created (server dry run)" for pod in pods]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hostNetwork": True}, "host namespaces"),
        ({"securityContext": {"runAsNonRoot": False}}, "runAsNonRoot != true"),
    ],
)
def test_pod_security_keeps_others_out(applied: ApiServer, change: dict[str, Any], said: str) -> None:
    folder = K8S / "overlays/example"
    one = alone(Overlay(folder, built(applied, "example"), folder / "regions.yaml").ours()[0])
    one["spec"] |= change
    refused = applied.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(one))
    assert refused.returncode == 1
    assert said in refused.stderr


def test_the_examples_of_secrets_are_taken(applied: ApiServer) -> None:
    path = K8S / "overlays/example/external-secrets.yaml"
    lines = done(applied, "apply", "-f", str(path), "--validate=strict")
    assert len(lines) == len(manifests.documents(path.read_text()))


def generations(server: ApiServer) -> dict[str, int]:
    """Deployment of the example → how often what it wants has changed."""
    said = done(server, "get", "deployments", "-n", NAMESPACES["example"], "-o", "json")
    found = json.loads("\n".join(said))["items"]
    return {one["metadata"]["name"]: one["metadata"]["generation"] for one in found}


def alone(pod: Pod) -> Manifest:
    """A pod of that template."""
    meta = {"name": pod.name, "namespace": pod.owner["metadata"]["namespace"], "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": dict(pod.spec)}
