"""What the manifests promise, over the objects as they are built: who may talk to whom, what a pod may do."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.unit.kubernetes.objects import Overlay, Pod, selects

DNS = {
    "namespace kubernetes.io/metadata.name=kube-system UDP/53",
    "namespace kubernetes.io/metadata.name=kube-system TCP/53",
}
KAFKA = "namespace region-sync/kafka=true TCP/9093"
DATABASE = "namespace region-sync/database=true TCP/3306"
READERS = {"namespace region-sync/monitoring=true TCP/http", "namespace region-sync/ingress=true TCP/http"}


def peer(one: dict[str, Any]) -> str:
    """A peer of a policy in one word; one that is two things at once is no word's."""
    ((kind, what),) = one.items()
    if kind == "ipBlock":
        assert set(what) == {"cidr"}
        return str(what["cidr"])
    if "matchExpressions" in what:
        ((key, (value,)),) = [(rule["key"], rule["values"]) for rule in what["matchExpressions"]]
        assert set(what) == {"matchExpressions"}
        return f"{kind.removesuffix('Selector')} {key}={value}"
    assert set(what) == {"matchLabels"}
    ((key, value),) = what["matchLabels"].items()
    return f"{kind.removesuffix('Selector')} {key}={value}"


def reach(overlay: Overlay, pod: Pod, direction: str) -> set[str]:
    """All that a pod may talk to (egress: to; ingress: from), by all policies that hold for it."""
    word = {"egress": "to", "ingress": "from"}[direction]
    return {
        f"{peer(one)} {port['protocol']}/{port['port']}"
        for policy in overlay.policies(pod)
        for rule in policy["spec"].get(direction, ())
        for one in rule[word]
        for port in rule["ports"]
    }


def settings(overlay: Overlay, pod: Pod) -> dict[str, Any]:
    """What the settings say of a pod's region."""
    regions = yaml.safe_load((overlay.folder / "regions.yaml").read_text())["regions"]
    (one,) = [one for one in regions if one["name"] == pod.region]
    return dict(one)


def reads_the_log(overlay: Overlay, pod: Pod) -> bool:
    """Whether it is the bridge of a region without a bus."""
    return pod.component == "bridge" and settings(overlay, pod)["bus"]["source"] == "eventlog"


def own(overlay: Overlay, pod: Pod) -> list[str]:
    """The ports of its region as the settings say: of the API, or of the bus; and a worker's of the region's
    own database."""
    one = settings(overlay, pod)
    by_api = pod.component == "worker" or reads_the_log(overlay, pod)
    addresses = [one["host"] if by_api else one["bus"]["url"]]
    addresses += [one["user_database"]] if pod.component == "worker" and "user_database" in one else []
    found = [urlsplit(re.sub(r"\$\{\w+\}", "x", address)).port or 443 for address in addresses]
    return sorted(f"TCP/{port}" for port in found)


def test_nothing_is_allowed_that_no_policy_allows(overlay: Overlay) -> None:
    spec = overlay.one("NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in overlay.of("NetworkPolicy"):
        for direction, word in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, ()):
                assert rule[word], policy["metadata"]["name"]  # no peers would be all peers
                assert rule["ports"], policy["metadata"]["name"]


def test_each_process_reaches_its_own_services_and_region_alone(overlay: Overlay) -> None:
    for pod in overlay.ours():
        found = reach(overlay, pod, "egress") - DNS
        shared = {
            "hub": {KAFKA, DATABASE},
            "migrate": {DATABASE},
            "grow": {KAFKA, DATABASE},
            "worker": {KAFKA, DATABASE},
            "bridge": {KAFKA, DATABASE} if reads_the_log(overlay, pod) else {KAFKA},
        }
        assert shared[pod.component] <= found, pod.name
        rest = found - shared[pod.component]
        if pod.region is None:
            assert rest == set(), pod.name
            continue
        assert sorted(one.split(" ")[-1] for one in rest) == own(overlay, pod), pod.name


def test_no_two_regions_reach_the_same_address(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    seen: dict[str, str | None] = {}
    for pod in overlay.ours():
        if pod.region is not None:
            for single in reach(overlay, pod, "egress") - DNS - {KAFKA, DATABASE}:
                address, _, mask = single.split(" ")[0].partition("/")
                assert mask == "32"
                assert seen.setdefault(address, pod.region) == pod.region


def test_a_region_s_own_database_is_its_worker_s_alone(overlays: dict[str, Overlay]) -> None:
    """Its address, its password, and the key that opens what is sealed for the region."""
    overlay = overlays["example"]
    (with_it,) = [
        pod
        for pod in overlay.ours()
        if pod.component == "worker" and "user_database" in settings(overlay, pod)
    ]
    ways = reach(overlay, with_it, "egress")
    (way,) = [one for one in ways if one[0].isdigit() and one.endswith(" TCP/3306")]
    for pod in overlay.ours():
        mine = pod.name == with_it.name
        given = overlay.environment(pod, pod.main)
        secrets = {"SEALING_KEY", "USER_DATABASE_PASSWORD"}
        assert secrets & given.keys() == (secrets if mine else set()), pod.name
        assert (way in reach(overlay, pod, "egress")) is mine, pod.name
    region = overlay.settings(with_it).region(str(with_it.region))
    assert region.user_database is not None and region.sealing_private_keys


def test_a_region_that_takes_no_part_needs_neither(overlays: dict[str, Overlay]) -> None:
    overlay = overlays["example"]
    (pod,) = [pod for pod in overlay.ours() if pod.name == "worker-tokyo"]
    region = overlay.settings(pod).region("tokyo")
    assert (region.user_database, region.sealing_private_keys) == (None, ())


def test_who_may_come(overlay: Overlay) -> None:
    expected = {
        "hub": READERS,
        "worker": READERS,
        "bridge": {min(READERS, key=lambda one: "monitoring" not in one)},
        "migrate": set(),
        "grow": set(),
    }
    for pod in overlay.ours():
        assert reach(overlay, pod, "ingress") == expected[pod.component], pod.name


def test_services_are_where_the_policies_let_us_go(overlay: Overlay) -> None:
    services = overlay.config(
        next(one["metadata"]["name"] for one in overlay.of("ConfigMap") if "KAFKA" in one.get("data", {}))
    )
    for key, allowed in (("KAFKA", KAFKA), ("DATABASE", DATABASE)):
        for address in services[key].split(","):
            assert allowed.endswith(f"/{address.rsplit(':', 1)[1]}")


def test_every_pod_is_restricted(overlay: Overlay) -> None:
    (namespace,) = overlay.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in overlay.objects:
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]
    for pod in overlay.pods():
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec)
        assert {next(iter(set(one) - {"name"})) for one in pod.spec["volumes"]} <= {"configMap", "emptyDir"}
        for container in pod.containers:
            limits = container["securityContext"]
            assert limits["allowPrivilegeEscalation"] is False
            assert limits["capabilities"] == {"drop": ["ALL"]}
            assert limits["readOnlyRootFilesystem"] is (pod.ours or pod.name == "sandbox")


def test_nobody_has_rights_in_the_cluster(overlay: Overlay) -> None:
    kinds = {one["kind"] for one in overlay.objects}
    assert not [kind for kind in kinds if kind.endswith(("Role", "RoleBinding"))]
    accounts = {one["metadata"]["name"]: one for one in overlay.of("ServiceAccount")}
    used = [pod.spec["serviceAccountName"] for pod in overlay.ours()]
    assert sorted(used) == sorted(accounts)
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())


def test_every_container_has_requests_and_limits(overlay: Overlay) -> None:
    for pod in overlay.pods():
        for container in pod.containers:
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory"}, pod.name


def test_selectors_find_their_own_pods_and_no_others(overlay: Overlay) -> None:
    owners = {"Deployment": "selector", "PodDisruptionBudget": "selector"}
    for kind, key in owners.items():
        for one in overlay.of(kind):
            found = [pod.name for pod in overlay.pods() if selects(one["spec"][key], pod.labels)]
            assert found == [one["metadata"]["name"]], kind
    for service in overlay.of("Service"):
        labels = {"matchLabels": service["spec"]["selector"]}
        assert [pod.name for pod in overlay.pods() if selects(labels, pod.labels)] == [
            service["metadata"]["name"]
        ]


def test_each_process_may_be_disturbed_one_pod_at_a_time_and_stands_on_several_nodes(
    overlay: Overlay,
) -> None:
    for pod in overlay.ours():
        if not pod.serves:
            continue
        assert overlay.one("PodDisruptionBudget", pod.name)["spec"]["maxUnavailable"] == 1
        assert pod.owner["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        spread = pod.spec["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for one in spread:
            assert [
                other.name for other in overlay.pods() if selects(one["labelSelector"], other.labels)
            ] == [pod.name]


def test_a_bridge_has_a_spare(overlay: Overlay) -> None:
    for pod in overlay.ours():
        if pod.component == "bridge":
            assert pod.owner["spec"]["replicas"] == 2


def test_what_is_read_is_made_here_or_said_to_be_yours(overlay: Overlay) -> None:
    made = {one["metadata"]["name"] for one in overlay.of("ConfigMap")}
    secrets = set(overlay.secret_keys())
    for pod in overlay.pods():
        for container in pod.containers:
            assert {one["secretRef"]["name"] for one in container.get("envFrom", ())} <= secrets
        for volume in pod.spec["volumes"]:
            config = volume.get("configMap")
            assert config is None or config.get("optional") or config["name"] in made
