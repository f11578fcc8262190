"""A node that joins a control plane: kubelet, kube-proxy and CoreDNS, each with its usual certificate and rights."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from laneway.dev.embedded import Embedded
from tests.cluster.control_plane import SERVICES, ControlPlane
from tests.cluster.program import Program
from tests.node import machine as machines
from tests.node import runtime
from tests.node.machine import Machine, NoMachineError

DOMAIN = "cluster.local"
KUBELET_HEALTH, PROXY_HEALTH, DNS_HEALTH = 10248, 10256, 8181


def check() -> None:
    """Raise NoMachineError if rights or programs are missing."""
    machines.check()
    runtime.check()
    if not shutil.which("nft"):
        raise NoMachineError("missing Debian packages: nftables")


@contextmanager
def node(
    machine: Machine, plane: ControlPlane, programs: dict[str, Path], kubectl: Program, images: Path
) -> Iterator[None]:
    """Run a ready node with these images. At the end the machine ends with everything that runs there, all at once."""
    with ExitStack() as stack:

        def start(part: Embedded) -> None:
            stack.callback(part.stop)
            part.start()

        def run(name: str, answers: Callable[[int], bool], *flags: str) -> None:
            argv = machine.command(str(programs[name]), *flags)
            start(Embedded(name, argv, b"", machine.folder, "", answers))

        try:
            start(runtime.containerd(machine))
            runtime.load(machine, images)
            healthz = _answers(f"http://{machine.address}:{KUBELET_HEALTH}/healthz")
            run("kubelet", healthz, *_kubelet(machine, plane))
            kubectl("wait", f"node/{machine.name}", "--for=create", "--timeout=30s")
            # With a route, the machine's own programs reach Services too; kube-proxy redirects them on the way.
            machine("ip", "route", "add", SERVICES, "via", machine.gateway)
            proxy = _answers(f"http://{machine.address}:{PROXY_HEALTH}/healthz")
            run("kube-proxy", proxy, f"--config={_proxy(machine, plane)}")
            kubectl("apply", "--filename=-", stdin=json.dumps(_dns_rights()))
            dns = _answers(f"http://{machine.address}:{DNS_HEALTH}/ready")
            run("coredns", dns, "-conf", str(_corefile(machine, plane)))
            kubectl("wait", f"node/{machine.name}", "--for=condition=Ready", "--timeout=60s")
            yield
        finally:
            machine.end()


def _kubelet(machine: Machine, plane: ControlPlane) -> list[str]:
    folder = machine.folder
    signals = ("memory.available", "nodefs.available", "imagefs.available")
    certificate, key = plane.authority.issue(
        "kubelet-server", f"/CN={machine.name}", server=[f"IP:{machine.address}"]
    )
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.address,
        "healthzBindAddress": machine.address,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {
            "x509": {"clientCAFile": str(plane.authority.certificate)},
            "anonymous": {"enabled": False},
        },
        "containerRuntimeEndpoint": f"unix://{runtime.SOCKET}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": machine.cgroup,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "protectKernelDefaults": True,  # check the kernel's settings, change none
        "evictionHard": dict.fromkeys(signals, "0%"),  # never evict, however full the real machine is
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": [machine.address],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
    }
    config = _write(folder / "kubelet.json", settings)
    user = plane.kubeconfig("kubelet", f"/O=system:nodes/CN=system:node:{machine.name}")
    return [
        f"--config={config}",
        f"--kubeconfig={user}",
        f"--hostname-override={machine.name}",
        f"--node-ip={machine.address}",
        f"--root-dir={folder / 'kubelet'}",
    ]


def _proxy(machine: Machine, plane: ControlPlane) -> Path:
    settings: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": runtime.PODS,
        "hostnameOverride": machine.name,
        "healthzBindAddress": f"{machine.address}:{PROXY_HEALTH}",
        "clientConnection": {"kubeconfig": str(plane.kubeconfig("kube-proxy", "/CN=system:kube-proxy"))},
        # These settings are shared with the real machine and must not change.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    return _write(machine.folder / "kube-proxy.json", settings)


def _corefile(machine: Machine, plane: ControlPlane) -> Path:
    user = plane.kubeconfig("coredns", "/CN=system:coredns")
    path = machine.folder / "Corefile"
    path.write_text(
        f"{DOMAIN}:53 {{\n  bind {machine.address}\n  ready {machine.address}:{DNS_HEALTH}\n  errors\n"
        f"  kubernetes {DOMAIN} {{\n    kubeconfig {user}\n  }}\n}}\n"
    )
    return path


def _dns_rights() -> dict[str, Any]:
    """Return the rights of CoreDNS's own manifests."""
    rbac = "rbac.authorization.k8s.io"
    name = {"name": "system:coredns"}
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": name,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", **name},
        "subjects": [{"apiGroup": rbac, "kind": "User", **name}],
    }
    return {"apiVersion": "v1", "kind": "List", "items": [role, binding]}


def _write(path: Path, settings: dict[str, Any]) -> Path:
    """Write settings as JSON, which is YAML too."""
    path.write_text(json.dumps(settings))
    return path


def _answers(url: str) -> Callable[[int], bool]:
    def answers(_pid: int) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own machine
                return bool(answer.status == 200)
        except OSError:  # refused, or not ready
            return False

    return answers
