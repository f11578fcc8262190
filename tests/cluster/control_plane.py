"""Runs a Kubernetes control plane as ordinary processes, with simulated nodes or with nodes that join it.

Real: etcd, API server (default admission with Pod Security, RBAC, service account tokens), all controllers of the
controller manager, scheduler. Simulated by kwok, unless turned off: kubelets, so that nodes exist and pods run without
containers (`kwok.yaml`). Each part has its own certificate with the rights that Kubernetes gives it. Everything is in one
folder, and the processes do not outlive the one that started them.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from laneway.dev.embedded import Embedded, free_port
from tests.cluster import pki

HOST = "127.0.0.1"
SERVICES, SERVICE = "10.96.0.0/16", "10.96.0.1"
"""The address range of Services, and the API server's address in it."""
KWOK_STAGES = Path(__file__).parent / "kwok.yaml"


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane, as its clients need it."""

    url: str
    authority: pki.Authority
    folder: Path
    """Holds the logs, `<part>.log`."""

    @property
    def audit(self) -> Path:
        """The audit log: requests of service accounts and their answers, one event a line."""
        return self.folder / "audit.log"

    def kubeconfig(self, name: str, subject: str) -> Path:
        """The kubeconfig of a client with a certificate for `subject`."""
        user = pki.certificate_user(*self.authority.issue(name, subject))
        return self._kubeconfig(name, user, "default")

    def token_kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        """The kubeconfig of a client that has nothing but a service account's token."""
        return self._kubeconfig(name, {"token": token}, namespace)

    def _kubeconfig(self, name: str, user: dict[str, str], namespace: str) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        return pki.kubeconfig(path, self.url, self.authority.certificate, user, namespace)


@contextmanager
def control_plane(
    tools: dict[str, Path], folder: Path, *, host: str = HOST, simulated: bool = True
) -> Iterator[ControlPlane]:
    """Start all parts, each once the one before answers; stop them in reverse order.

    The API server listens on `host`, and publishes that address to pods unless it is a loopback address. `simulated`: kwok
    runs and manages every node.
    """
    authority = pki.Authority(folder)
    plane = ControlPlane(f"https://{host}:{free_port()}", authority, folder)
    names = ["DNS:localhost", "DNS:kubernetes.default.svc", f"IP:{HOST}", f"IP:{SERVICE}", f"IP:{host}"]
    certificate, key = authority.issue("server", "/CN=server", server=names)
    serving = [f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"]
    tokens = authority.signing_key("tokens")

    with ExitStack() as stack:

        def start(name: str, flags: list[str], answers: str) -> None:
            argv = [str(tools[name]), *flags]
            part = Embedded(name, argv, b"", folder, answers, _Answers(answers, authority))
            # An API server that is asked to stop takes half a minute to withdraw its endpoint; there is no data to save.
            stack.callback(part.kill if name == "kube-apiserver" else part.stop)
            part.start()

        etcd = f"http://{_address()}"
        start("etcd", _etcd(etcd, folder), f"{etcd}/health")
        start("kube-apiserver", serving + _api_server(plane, host, etcd, tokens), f"{plane.url}/readyz")
        for name, more in (("kube-controller-manager", _controllers(plane, tokens)), ("kube-scheduler", [])):
            port = free_port()
            flags = [
                *serving,
                f"--bind-address={HOST}",
                f"--secure-port={port}",
                *_client(plane.kubeconfig(name, f"/CN=system:{name}")),
            ]
            start(name, flags + more, f"https://{HOST}:{port}/healthz")
        if simulated:
            kwok = _address()
            start("kwok", _kwok(plane, kwok), f"http://{kwok}/healthz")
        yield plane


def _etcd(url: str, folder: Path) -> list[str]:
    peer = f"http://{_address()}"
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def _api_server(plane: ControlPlane, host: str, etcd: str, tokens: Path) -> list[str]:
    certificate, key = plane.authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver")
    return [
        f"--bind-address={host}",
        f"--secure-port={plane.url.rpartition(':')[2]}",
        f"--etcd-servers={etcd}",
        f"--client-ca-file={plane.authority.certificate}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICES}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={tokens}",
        f"--service-account-signing-key-file={tokens}",
        f"--audit-policy-file={_audit_policy(plane.folder)}",
        f"--audit-log-path={plane.audit}",
        f"--kubelet-certificate-authority={plane.authority.certificate}",
        f"--kubelet-client-certificate={certificate}",
        f"--kubelet-client-key={key}",
        "--kubelet-preferred-address-types=InternalIP",  # no DNS knows the nodes' names
        f"--advertise-address={host}",
        *(
            ["--endpoint-reconciler-type=none"] if host == HOST else []
        ),  # a loopback address is no endpoint for pods
    ]


def _client(kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
    ]


def _controllers(plane: ControlPlane, tokens: Path) -> list[str]:
    return [
        f"--service-account-private-key-file={tokens}",
        f"--root-ca-file={plane.authority.certificate}",
        "--use-service-account-credentials=true",
        "--node-monitor-grace-period=1h",  # simulated nodes do not die, but kwok may be late on a busy machine
    ]


def _kwok(plane: ControlPlane, address: str) -> list[str]:
    return [
        f"--kubeconfig={plane.kubeconfig('kwok', '/O=system:masters/CN=kwok')}",
        "--manage-all-nodes",
        f"--config={KWOK_STAGES}",
        f"--server-address={address}",
        "--node-lease-duration-seconds=40",  # a node whose lease runs out counts as lost, with its pods
    ]


class _Answers:
    """Whether a URL answers with status 200."""

    def __init__(self, url: str, authority: pki.Authority) -> None:
        self._url = url
        self._context = ssl.create_default_context(cafile=authority.certificate)

    def __call__(self, _pid: int) -> bool:
        try:
            with urllib.request.urlopen(self._url, context=self._context, timeout=5) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:  # refused, reset, not ready
            return False


def _audit_policy(folder: Path) -> Path:
    path = folder / "audit.json"
    rules = [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},  # the controllers
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ]
    stages = ["RequestReceived", "ResponseStarted"]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": stages, "rules": rules}
    path.write_text(json.dumps(policy))
    return path


def _address() -> str:
    return f"{HOST}:{free_port()}"
