"""Programs and files of the Go module proxy: built, or fetched, once, and kept by what was asked for.

In: a folder for what is made, and the name of one of ours in `go_modules` (a go.mod and a go.sum that name
every module with the hash of its files). Out: paths. Called by the tests of k8s/.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.quiet import quietly

MODULES = Path(__file__).with_name("go_modules")
TRIES = 3
FETCH_LIMIT_S = 600
BUILD_LIMIT_S = 3600
"""The API server's first build takes some twenty minutes of two cores."""


@dataclass(frozen=True)
class Program:
    """A package of one of our modules, and what the program that it makes is called."""

    module: str
    package: str
    name: str


KUSTOMIZE = Program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "kustomize")
CONTROLLER_GEN = Program("monitoring", "sigs.k8s.io/controller-tools/cmd/controller-gen", "controller-gen")
ETCD = Program("kubernetes", "go.etcd.io/etcd/server/v3", "etcd")
API_SERVER = Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver")
KUBECTL = Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl", "kubectl")


def program(cache: Path, wanted: Program) -> Path:
    """The program's path, after building it at the first call. Raises ServiceUnavailable."""
    folder = cache / "go"
    folder.mkdir(parents=True, exist_ok=True)
    built, kept, asked = folder / wanted.name, folder / f"{wanted.name}.asked", _asked(wanted.module)
    with (folder / f"{wanted.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (built.exists() and kept.exists() and kept.read_text() == asked):
            kept.unlink(missing_ok=True)
            print(f"building {wanted.name} ...", file=sys.stderr, flush=True)
            _download(wanted.module)
            partial = folder / f"{wanted.name}.partial"
            flags = ["-mod=readonly", "-trimpath", "-ldflags=-s -w", "-p=2", "-o", str(partial)]
            _go(["build", *flags, wanted.package], MODULES / wanted.module, BUILD_LIMIT_S)
            partial.replace(built)
            kept.write_text(asked)
    return built


def fetched(path: str, version: str, digest: str) -> Path:
    """The folder with a module's files alone, without what it needs to be built; they must have that hash.
    Raises ServiceUnavailable."""
    told = json.loads(_tried(["mod", "download", "-json", f"{path}@{version}"], Path("/")))
    if told.get("Sum") != digest:
        raise ServiceUnavailable(f"{path}@{version} has the hash {told.get('Sum')}, and not {digest}")
    return Path(told["Dir"])


def _asked(module: str) -> str:
    return "".join((MODULES / module / name).read_text() for name in ("go.mod", "go.sum"))


def _download(module: str) -> None:
    _tried(["mod", "download"], MODULES / module)


def _tried(arguments: list[str], folder: Path) -> str:
    for _ in range(TRIES - 1):
        try:
            return _go(arguments, folder, FETCH_LIMIT_S)
        except ServiceUnavailable as error:
            print(f"{error}; again ...", file=sys.stderr, flush=True)
    return _go(arguments, folder, FETCH_LIMIT_S)


def _go(arguments: list[str], folder: Path, limit_s: float) -> str:
    go = debian.find("go")
    if go is None:
        raise ServiceUnavailable("go is missing: the programs that check k8s/ are built with it")
    nice = ["nice", "-n", "19"] if shutil.which("nice") else []
    try:
        done = quietly([*nice, str(go), *arguments], limit_s, folder=folder, variables={"GOWORK": "off"})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(f"go {arguments[0]}: {error}") from error
    if done.returncode != 0:
        raise ServiceUnavailable(f"go {' '.join(arguments[:2])} in {folder}: {done.stderr.strip()[-400:]}")
    return done.stdout
