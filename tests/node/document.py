"""The commands of docs/operations.md, run as they are written there: only the release and its namespace have other names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.cluster.release import CHART, NAME
from tests.helm.chart import ROOT
from tests.node.system import System

PAGE = ROOT / "docs" / "operations.md"
LIMIT_SECONDS = 110.0


def commands(heading: str) -> dict[str, str]:
    """The parts of the first block below this text, each by the first word of the comment that it begins with."""
    block = PAGE.read_text().split(heading)[1].split("```bash\n")[1].split("```")[0]
    return {part.strip("# ").split()[0].strip(".,:"): f"{part}\n" for part in block.split("\n\n")}


def run(system: System, script: str, folder: Path) -> str:
    """In a shell that ends with the first command that fails; returns what was printed."""
    release = system.release
    for written, meant in (
        ("helm upgrade queue ./helm/queue-system", f"helm upgrade {NAME} {CHART}"),
        ("queue-queue-system", NAME),
        ("-n queue", f"-n {release.namespace}"),
    ):
        script = script.replace(written, meant)
    programs = [str(program.path.parent) for program in (release.kubectl, release.helm)]
    environment = {**release.kubectl.environment, "PATH": os.pathsep.join([*programs, os.environ["PATH"]])}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}\n{system.describe()}"
    return done.stdout
