"""Debian's containerd on a node, with its own data and a bridge for pods. It never meets Docker's containerd."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from laneway.dev.embedded import Embedded
from tests.node.machine import Machine, NoMachineError

SOCKET = "/run/containerd/containerd.sock"
PLUGINS = Path("/usr/lib/cni")
PODS = "10.244.0.0/24"
PAUSE = "laneway-pause:tests"
_CTR = ("ctr", "--namespace=k8s.io")


def check() -> None:
    """Raise NoMachineError if a program or plugin is missing."""
    needed = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables"}
    missing = {package for program, package in needed.items() if not shutil.which(program)}
    if not (PLUGINS / "bridge").exists():
        missing.add("containernetworking-plugins")
    if missing:
        raise NoMachineError(f"missing Debian packages: {', '.join(sorted(missing))}")


def containerd(machine: Machine) -> Embedded:
    """Configure containerd; the caller starts it."""
    folder = machine.folder / "containerd"
    (folder / "network").mkdir(parents=True)
    (folder / "network" / "10-pods.conflist").write_text(json.dumps(_network()))
    (folder / "config.toml").write_text(_config(folder))

    def answers(_pid: int) -> bool:
        asked = machine.command(*_CTR, "version")
        return subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0

    argv = machine.command("containerd", f"--config={folder / 'config.toml'}")
    return Embedded("containerd", argv, b"", machine.folder, SOCKET, answers)


def load(machine: Machine, images: Path) -> None:
    """Import an archive that `docker save` wrote."""
    machine(*_CTR, "images", "import", str(images))


def kill(machine: Machine, container: str) -> None:
    """Send SIGKILL to a container's first process, which no process inside could do. The id has Kubernetes' form."""
    machine(*_CTR, "tasks", "kill", "--signal=SIGKILL", container.removeprefix("containerd://"))


def _config(folder: Path) -> str:
    # State and sockets are in the machine's own /run. Not every root may lower an oom score, so containerd must not ask for it.
    return f"""
version = 2
root = "{folder}/data"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/{PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{folder}/network"
"""


def _network() -> dict[str, object]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
