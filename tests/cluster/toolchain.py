"""The control plane's programs, built from their published Go modules, once for each content of `tools/`.

`tools/go.mod` pins every version; nothing is downloaded but modules, through Go's module proxy, checked against `go.sum`. The
programs are kept outside the repository, so a clean clone finds them again. By hand: `python -m tests.cluster.toolchain`
builds what is missing and prints the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).parent / "tools"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
}
NICE = ["nice", "-n", "5"]
PARALLEL = "2"
"""Compilations at once: each takes up to 1 GB, and others use this machine too."""


class ToolsMissingError(RuntimeError):
    """The programs are not there and cannot be built here: no Go, or its modules cannot be had. The text says which."""


def folder() -> Path:
    """Where the programs of exactly these sources are or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = [
        (SOURCE / "go.mod").read_bytes(),
        (SOURCE / "go.sum").read_bytes(),
        " ".join(_flags()).encode(),
    ]
    return cache / "queue-system-tools" / hashlib.sha256(b"".join(made_of)).hexdigest()[:16]


def tools(*names: str) -> dict[str, Path]:
    """Paths of these programs (of all, without names), built when missing: minutes from nothing, and one process at a time.
    Raises ToolsMissingError, and CalledProcessError when Go is there and a build fails."""
    target = folder()
    paths = {name: target / name for name in names or PACKAGES}
    if not all(path.exists() for path in paths.values()):
        target.mkdir(parents=True, exist_ok=True)
        with (target / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be building the same
            missing = [name for name, path in paths.items() if not path.exists()]
            if missing:
                _build(missing, target)
    return paths


def _build(names: list[str], target: Path) -> None:
    if not (go := shutil.which("go")):
        raise ToolsMissingError("Go is not installed, so the control plane cannot be built")
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    fetched = subprocess.run(
        [go, "mod", "download"], cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        raise ToolsMissingError(f"Go modules cannot be had:\n{fetched.stderr[-2000:]}")
    unfinished = target / "unfinished"
    unfinished.mkdir(exist_ok=True)
    # One build for all: packages that several programs share are compiled once, and linking overlaps with compiling.
    subprocess.run(
        [*NICE, go, "build", "-p", PARALLEL, *_flags(), "-o", f"{unfinished}/"]
        + [PACKAGES[name] for name in names],
        cwd=SOURCE,
        env=environment,
        check=True,
    )
    for name in names:
        built = unfinished / (
            "server" if name == "etcd" else name
        )  # Go names it by its package's last element
        built.rename(target / name)


def _flags() -> list[str]:
    """No debug information and no inlining, which saves a quarter of the build; and the versions that a release build would
    carry, since clients and charts ask for them."""
    pinned = dict(re.findall(r"^\t(\S+) (v[0-9.]+)\b", (SOURCE / "go.mod").read_text(), re.MULTILINE))
    release = pinned["k8s.io/kubernetes"]
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


if __name__ == "__main__":
    begin = time.monotonic()
    tools()
    print(f"{folder()} ({time.monotonic() - begin:.0f} s)")
