"""What comes from Go modules is what was asked for, or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services import debian, golang
from tests.services.errors import ServiceUnavailable
from tests.services.golang import KUSTOMIZE
from tests.services.manifests import KUBERNETES


def test_files_with_another_hash_are_refused(services_cache: Path) -> None:
    if debian.find("go") is None:
        pytest.skip("go is missing")
    path, version, digest = KUBERNETES
    assert golang.fetched(path, version, digest).is_dir()
    with pytest.raises(ServiceUnavailable, match="has the hash"):
        golang.fetched(path, version, "h1:another")


def test_without_go_nothing_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "find", lambda _: None)
    with pytest.raises(ServiceUnavailable, match="go is missing"):
        golang.program(tmp_path, KUSTOMIZE)
    assert list((tmp_path / "go").glob("kustomize.asked")) == []


def test_a_program_is_built_once(services_cache: Path) -> None:
    if debian.find("go") is None:
        pytest.skip("go is missing")
    first = golang.program(services_cache, KUSTOMIZE).stat()
    again = golang.program(services_cache, KUSTOMIZE).stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
