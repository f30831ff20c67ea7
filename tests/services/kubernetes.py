"""A Kubernetes API server with its etcd, and kubectl: what takes or refuses manifests, without any node.

In: a folder, and the one where programs are kept. Out: a running server, and `kubectl`. Called by the tests
of k8s/:

    with Etcd(tmp_path / "etcd", cache) as etcd, ApiServer(tmp_path / "api", cache, etcd) as server:
        server.kubectl("apply", "-k", "k8s/overlays/example")
"""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
from pathlib import Path
from typing import ClassVar

import httpx
import yaml

from tests.services import golang
from tests.services.certificates import HERE, Authority
from tests.services.service import Launch, Service

HEALTH_LIMIT_S = 5.0
KUBECTL_LIMIT_S = 300


class Etcd(Service):
    """One member; its data may go with the machine, so it does not wait for the disk."""

    name: ClassVar[str] = "etcd"
    port_names: ClassVar[tuple[str, ...]] = ("client", "peer")

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self._cache = cache

    def provision(self) -> None:
        golang.program(self._cache, golang.ETCD)

    def initialise(self, data: Path) -> None:
        """It fills its folder by itself."""

    def launch(self, data: Path) -> Launch:
        peer = f"http://{HERE}:{self.ports['peer']}"
        options = {
            "name": "one",
            "data-dir": str(data / "etcd"),
            "listen-client-urls": self.address,
            "advertise-client-urls": self.address,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"one={peer}",
            "unsafe-no-fsync": "true",
        }
        program = golang.program(self._cache, golang.ETCD)
        return Launch([str(program), *_flags(options)], os.environ)

    def healthy(self) -> bool:
        return _answers(f"{self.address}/health", True)

    @property
    def address(self) -> str:
        return f"http://{HERE}:{self.ports['client']}"


class ApiServer(Service):
    """With the admission that every cluster has, Pod Security among it, and one person who may do all."""

    name: ClassVar[str] = "kube-apiserver"
    port_names: ClassVar[tuple[str, ...]] = ("https",)

    def __init__(self, folder: Path, cache: Path, etcd: Etcd) -> None:
        super().__init__(folder)
        self._cache = cache
        self._etcd = etcd

    def provision(self) -> None:
        for one in (golang.API_SERVER, golang.KUBECTL):
            golang.program(self._cache, one)

    def initialise(self, data: Path) -> None:
        Authority(data / "tls").certificate()
        (data / "token").write_text(secrets.token_urlsafe())
        (data / "tokens.csv").write_text(f"{(data / 'token').read_text()},admin,admin,system:masters\n")

    def launch(self, data: Path) -> Launch:
        chain, key = (str(data / f"tls/{HERE}.{part}.pem") for part in ("chain", "key"))
        options = {
            "etcd-servers": self._etcd.address,
            "bind-address": HERE,
            "secure-port": str(self.ports["https"]),
            "tls-cert-file": chain,
            "tls-private-key-file": key,
            "cert-dir": str(data),
            "token-auth-file": str(data / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.0.0.0/24",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": chain,
            "service-account-signing-key-file": key,
            "endpoint-reconciler-type": "none",
        }
        self._write_kubeconfig(data)
        program = golang.program(self._cache, golang.API_SERVER)
        return Launch([str(program), *_flags(options)], os.environ)

    def healthy(self) -> bool:
        data = self.folder / "data"
        trust = ssl.create_default_context(cafile=str(data / "tls/ca.pem"))
        return _answers(f"{self.address}/readyz", trust, (data / "token").read_text())

    @property
    def address(self) -> str:
        return f"https://{HERE}:{self.ports['https']}"

    def kubectl(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs it as the administrator; `given` is its standard input."""
        return subprocess.run(
            [str(golang.program(self._cache, golang.KUBECTL)), *arguments],
            env={**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(self.folder)},
            input=given,
            capture_output=True,
            text=True,
            timeout=KUBECTL_LIMIT_S,
            check=False,
        )

    def _write_kubeconfig(self, data: Path) -> None:
        cluster = {"server": self.address, "certificate-authority": str(data / "tls/ca.pem")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": (data / "token").read_text()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))


def _flags(options: dict[str, str]) -> list[str]:
    return [f"--{key}={value}" for key, value in options.items()]


def _answers(url: str, trust: ssl.SSLContext | bool, token: str = "") -> bool:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.get(
            url, headers=headers, verify=trust, timeout=HEALTH_LIMIT_S, trust_env=False
        ).is_success
    except httpx.HTTPError:
        return False
