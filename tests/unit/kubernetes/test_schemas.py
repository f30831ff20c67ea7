"""Every object fits the definition of its kind, Kubernetes' own and those of the operators, to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.services import manifests
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.manifests import Manifest
from tests.unit.kubernetes.objects import Overlay


def strict(schema: Any) -> Any:
    """A schema that refuses what it does not name, and takes a number where Kubernetes takes either."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    made = {
        key: strict(one) for key, one in schema.items() if key not in ("format", "description", "default")
    }
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
        made["properties"] = {key: strict(one) for key, one in schema["properties"].items()}
    return made


class Definitions:
    """The schema of each kind."""

    def __init__(self, swagger: dict[str, Any], custom: list[Manifest]) -> None:
        self._shared = {"definitions": strict(swagger["definitions"])}
        self._kinds: dict[tuple[str, str], Any] = {}
        for name, schema in swagger["definitions"].items():
            for one in schema.get("x-kubernetes-group-version-kind", ()):
                version = "/".join(part for part in (one["group"], one["version"]) if part)
                self._kinds[version, one["kind"]] = {"$ref": f"#/definitions/{name}"}
        for one in custom:
            spec = one["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {
                    "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
                }
                self._kinds[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema

    def defects(self, one: Manifest) -> list[str]:
        """What is wrong with an object."""
        schema = {**self._kinds[one["apiVersion"], one["kind"]], **self._shared}
        errors = jsonschema.Draft4Validator(schema).iter_errors(one)
        return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@pytest.fixture(scope="session")
def definitions(services_cache: Path) -> Definitions:
    try:
        swagger = json.loads(manifests.swagger().read_text())
        return Definitions(swagger, manifests.definitions(services_cache))
    except ServiceUnavailable as error:
        refuse(str(error))
        raise


def test_every_object_fits(overlay: Overlay, definitions: Definitions) -> None:
    for one in overlay.objects:
        assert definitions.defects(one) == [], f"{one['kind']} {one['metadata']['name']}"


def test_the_examples_of_secrets_fit(definitions: Definitions) -> None:
    text = (manifests.ROOT / "k8s/overlays/example/external-secrets.yaml").read_text()
    for one in manifests.documents(text):
        assert definitions.defects(one) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriod"), 60),
        ("Deployment", ("spec", "replicas"), "two"),
        ("NetworkPolicy", ("spec", "egres"), []),
        ("ScaledObject", ("spec", "maxReplicas"), 3),
        ("PodMonitor", ("spec", "podMetricsEndpoints"), {}),
    ],
)
def test_what_is_mistyped_does_not(
    overlays: dict[str, Overlay], definitions: Definitions, kind: str, path: tuple[str, ...], value: Any
) -> None:
    one = json.loads(json.dumps(overlays["example"].of(kind)[0]))
    place = one
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert len(definitions.defects(one)) == 1
