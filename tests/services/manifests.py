"""The manifests of k8s/ as kustomize builds them, and the definitions that they must fit.

In: a folder for what is fetched and built. Out: objects as plain values. Called by the tests of k8s/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from tests.services import golang
from tests.services.errors import ServiceUnavailable

Manifest = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
OVERLAYS: Final = ("example", "sandbox")
KUBERNETES: Final = ("k8s.io/kubernetes", "v1.36.3", "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=")
KEDA: Final = ("github.com/kedacore/keda/v2", "v2.18.1", "h1:h6bRt/IOxxtZpJlHSqhdH/lcInH7Z9obxg/JvWOmGAw=")
EXTERNAL_SECRETS: Final = (
    "github.com/external-secrets/external-secrets",
    "v0.16.2",
    "h1:iNY+gIgSyL5higXTfnz+hdPCaiB/43UiHLqE7HBpj68=",
)
MONITORING: Final = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
USED: Final = {
    KEDA: ("config/crd/bases", ["keda.sh_scaledobjects", "keda.sh_triggerauthentications"]),
    EXTERNAL_SECRETS: ("config/crds/bases", ["external-secrets.io_externalsecrets"]),
}
LIMIT_S: Final = 600
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Definitions are long, and a C library reads them ten times as fast."""


def build(cache: Path, folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would apply. Raises ServiceUnavailable without kustomize, RuntimeError in its
    words."""
    kustomize = golang.program(cache, golang.KUSTOMIZE)
    done = subprocess.run(
        [str(kustomize), "build", str(folder)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return documents(done.stdout)


def documents(text: str) -> list[Manifest]:
    """All objects of a file with several."""
    return [one for one in yaml.load_all(text, LOADER) if one]


def swagger() -> Path:
    """The file that describes Kubernetes' own kinds. Raises ServiceUnavailable."""
    return golang.fetched(*KUBERNETES) / "api/openapi-spec/swagger.json"


def definitions(cache: Path) -> list[Manifest]:
    """The CustomResourceDefinitions of KEDA, of ExternalSecret, and of what the Prometheus operator takes.
    Raises ServiceUnavailable."""
    found = [
        one
        for module, (folder, names) in USED.items()
        for source in [golang.fetched(*module) / folder]
        for name in names
        for one in documents((source / f"{name}.yaml").read_text())
    ]
    return found + [one for path in _monitoring(cache) for one in documents(path.read_text())]


def _monitoring(cache: Path) -> list[Path]:
    """Made from the operator's types, as the operator makes its own: the module of those holds none."""
    folder = golang.MODULES / "monitoring"
    generator = golang.program(cache, golang.CONTROLLER_GEN)
    made = cache / "go" / "monitoring"
    asked = (folder / "go.mod").read_text()
    if not ((made / "asked").exists() and (made / "asked").read_text() == asked):
        partial = cache / "go" / f"monitoring.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        done = subprocess.run(
            [str(generator), "crd", f"paths={MONITORING}", f"output:crd:dir={partial}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceUnavailable(f"controller-gen: {done.stderr[-400:]}")
        (partial / "asked").write_text(asked)
        shutil.rmtree(made, ignore_errors=True)
        partial.rename(made)
    return [made / f"monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules")]
