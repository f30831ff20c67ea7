"""Both overlays, built once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.sealing import new_pair
from tests.services import manifests
from tests.services.certificates import Authority
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.services.golang import KUSTOMIZE, program
from tests.unit.kubernetes.objects import Overlay

AUTHORITIES = "/etc/region-sync-authorities"
SEALING_KEY = re.compile(r"(?<=sealing_key: )\S+")


@pytest.fixture(scope="session")
def kustomize(services_cache: Path) -> Path:
    try:
        return program(services_cache, KUSTOMIZE)
    except ServiceUnavailable as error:
        refuse(str(error))
        raise


Open = Callable[[Path], Overlay]


@pytest.fixture(scope="session")
def opened(kustomize: Path, services_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """Builds the overlay in a folder."""
    authority = Authority(tmp_path_factory.mktemp("kubernetes") / "authority")
    for name in ("kafka", "database", "cloud-berlin"):
        shutil.copy(authority.ca, authority.folder / f"{name}.pem")

    def build(folder: Path) -> Overlay:
        text = (folder / "regions.yaml").read_text()
        regions = tmp_path_factory.mktemp(folder.name) / "regions.yaml"
        private, public = new_pair()  # whoever made the example's public key has not kept the other half
        text = SEALING_KEY.sub(public, text)
        regions.write_text(text.replace(AUTHORITIES, str(authority.folder)))
        values = {"SEALING_KEY": private}
        return Overlay(folder, manifests.build(services_cache, folder), regions, values)

    return build


@pytest.fixture(scope="session")
def overlays(opened: Open) -> dict[str, Overlay]:
    folder = manifests.ROOT / "k8s/overlays"
    return {name: opened(folder / name) for name in manifests.OVERLAYS}


@pytest.fixture(params=manifests.OVERLAYS)
def overlay(request: pytest.FixtureRequest, overlays: dict[str, Overlay]) -> Overlay:
    return overlays[request.param]
