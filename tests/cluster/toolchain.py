"""Builds the control plane's programs and skaffold from their published Go modules.

`tools/` and `skaffold/` each have a `go.mod` that pins every version; only modules are downloaded, through Go's module proxy,
and `go.sum` verifies them. The programs are cached outside the repository under a hash of those sources, so that a clean
clone finds them again. `python -m tests.cluster.toolchain` builds missing programs and prints the folders.
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
"""Compilations at the same time: each takes up to 1 GB, and other work may share the machine."""


class ToolsMissingError(RuntimeError):
    """Programs are missing and cannot be built: Go is missing, or its modules cannot be downloaded. The message says which."""


@dataclass(frozen=True)
class Module:
    """A Go module of ours that requires the programs. `packages`: the Go package of each program, by program name."""

    source: Path
    packages: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The cache folder for programs of exactly these sources."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        sources = [self.source / "go.mod", self.source / "go.sum", *sorted(self.source.glob("*/*.go"))]
        made_of = [*(path.read_bytes() for path in sources), " ".join(self.flags).encode()]
        return cache / "laneway-tools" / hashlib.sha256(b"".join(made_of)).hexdigest()[:16]

    @property
    def flags(self) -> list[str]:
        """Build flags: no debug information and no inlining, which saves a quarter of the build time, and the version numbers
        of a release build, which clients and charts check."""
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
        """The paths of the programs. Missing ones are built, which takes minutes; one process at a time builds.

        Raises ToolsMissingError, and CalledProcessError when a build fails.
        """
        target = self.folder
        paths = {name: target / name for name in self.packages}
        if not all(path.exists() for path in paths.values()):
            target.mkdir(parents=True, exist_ok=True)
            with (target / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may build the same programs
                if missing := [name for name, path in paths.items() if not path.exists()]:
                    self._build(missing)
        return paths

    def _build(self, names: list[str]) -> None:
        if not (go := shutil.which("go")):
            raise ToolsMissingError(f"{', '.join(names)} must be built, and Go is not installed: install Go")
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
            raise ToolsMissingError(f"Go modules cannot be downloaded:\n{fetched.stderr[-2000:]}")
        unfinished = self.folder / "unfinished"
        unfinished.mkdir(exist_ok=True)
        # One build for all programs: shared packages are compiled once, and linking overlaps with compiling.
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
            )  # Go names a program after the last part of its package
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
"""The node's programs: same release, mostly the same packages."""
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
