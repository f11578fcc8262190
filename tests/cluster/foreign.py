"""CRDs of other projects that the chart can create objects of, as those projects publish them in Go modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.toolchain import CONTROL_PLANE, ToolsMissingError

MODULES = {
    "sigs.k8s.io/gateway-api@v1.6.3": (
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.94.1": (
        "h1:QEIb2wenPH+SdMN1xMf8l4Pmj00YYXXI6HlbLlQWkww=",
        [
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
}
"""For each module version its checksum and the files to take."""


def definitions() -> Path:
    """A folder with the CRDs, downloaded once. Raises ToolsMissingError."""
    target = CONTROL_PLANE.folder / "definitions"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
            for module, (checksum, files) in MODULES.items():
                source = _downloaded(module, checksum)
                for file in files:
                    shutil.copy(source / file, Path(unfinished, Path(file).name))
            shutil.copytree(unfinished, target, dirs_exist_ok=True)
    return target


def _downloaded(module: str, checksum: str) -> Path:
    if not (go := shutil.which("go")):
        raise ToolsMissingError(
            "the CRDs of other projects come in Go modules, and Go is not installed: install Go"
        )
    done = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=CONTROL_PLANE.folder,  # outside any Go module
        env=os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolsMissingError(f"{module} cannot be downloaded:\n{done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    if found["Sum"] != checksum:
        raise ToolsMissingError(f"{module} has the checksum {found['Sum']}, expected {checksum}")
    return Path(found["Dir"])
