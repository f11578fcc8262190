"""The control plane's programs and skaffold, built from their published Go modules, once for each content of `tools/` and `skaffold/`.

Their `go.mod` pin every version; nothing is downloaded but modules, through Go's module proxy, checked against `go.sum`. The
programs are kept outside the repository, so a clean clone finds them again. By hand: `python -m tests.cluster.toolchain`
builds what is missing and prints the folders.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NICE = ["nice", "-n", "5"]
PARALLEL = "2"
"""Compilations at once: each takes up to 1 GB, and others use this machine too."""


class ToolsMissingError(RuntimeError):
    """The programs are not there and cannot be built here: no Go, or its modules cannot be had. The text says which."""


@dataclass(frozen=True)
class Module:
    """A Go module of ours that requires what is to be built. `packages`: where each program's source is, by its name."""

    source: Path
    packages: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the programs of exactly these sources are or will be."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        sources = [self.source / "go.mod", self.source / "go.sum", *sorted(self.source.glob("*/*.go"))]
        made_of = [*(path.read_bytes() for path in sources), " ".join(self.flags).encode()]
        return cache / "laneway-tools" / hashlib.sha256(b"".join(made_of)).hexdigest()[:16]

    @property
    def flags(self) -> list[str]:
        """No debug information and no inlining, which saves a quarter of the build; and the versions that a release build
        would carry, since clients and charts ask for them."""
        go_mod = (self.source / "go.mod").read_text()
        pinned = dict(re.findall(r"^(?:require |\t)(\S+) (v[0-9.]+)\b", go_mod, re.MULTILINE))
        stamps = {}
        if release := pinned.get("k8s.io/kubernetes"):
            major, minor, _patch = release[1:].split(".")
            kubernetes = "k8s.io/component-base/version."
            stamps = {
                f"{kubernetes}gitVersion": release,
                f"{kubernetes}gitMajor": major,
                f"{kubernetes}gitMinor": minor,
                "helm.sh/helm/v4/internal/version.version": pinned["helm.sh/helm/v4"],
            }
        link = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in stamps.items())])
        return ["-trimpath", "-gcflags=all=-dwarf=false -l", f"-ldflags={link}"]

    def programs(self) -> dict[str, Path]:
        """Their paths, built when missing: minutes from nothing, and one process at a time. Raises ToolsMissingError, and
        CalledProcessError when Go is there and a build fails."""
        target = self.folder
        paths = {name: target / name for name in self.packages}
        if not all(path.exists() for path in paths.values()):
            target.mkdir(parents=True, exist_ok=True)
            with (target / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be building the same
                if missing := [name for name, path in paths.items() if not path.exists()]:
                    self._build(missing)
        return paths

    def _build(self, names: list[str]) -> None:
        if not (go := shutil.which("go")):
            raise ToolsMissingError(f"Go is not installed, so {', '.join(names)} cannot be built")
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
        fetched = subprocess.run(
            [go, "mod", "download"],
            cwd=self.source,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode:
            raise ToolsMissingError(f"Go modules cannot be had:\n{fetched.stderr[-2000:]}")
        unfinished = self.folder / "unfinished"
        unfinished.mkdir(exist_ok=True)
        # One build for all: packages that several programs share are compiled once, and linking overlaps with compiling.
        subprocess.run(
            [*NICE, go, "build", "-p", PARALLEL, *self.flags, "-o", f"{unfinished}/"]
            + [self.packages[name] for name in names],
            cwd=self.source,
            env=environment,
            check=True,
        )
        for name in names:
            built = unfinished / (
                "server" if name == "etcd" else name
            )  # Go names it by its package's last element
            built.rename(self.folder / name)


CONTROL_PLANE = Module(
    Path(__file__).parent / "tools",
    {
        "etcd": "go.etcd.io/etcd/server/v3",
        "helm": "helm.sh/helm/v4/cmd/helm",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    },
)
NODE = Module(
    CONTROL_PLANE.source,
    {
        "coredns": "./coredns",
        "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
        "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    },
)
"""Of the same release, and compiled for the most part with it."""
SKAFFOLD = Module(
    Path(__file__).parent / "skaffold",
    {"skaffold": "github.com/GoogleContainerTools/skaffold/v2/cmd/skaffold"},
)
MODULES = (CONTROL_PLANE, NODE, SKAFFOLD)


if __name__ == "__main__":
    for module in MODULES:
        begin = time.monotonic()
        module.programs()
        print(f"{module.folder} ({time.monotonic() - begin:.0f} s)")
