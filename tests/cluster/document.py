"""Runs the commands of docs/operations.md as they are written there, for another release name and namespace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.cluster.release import CHART, NAME, Release

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
LIMIT_SECONDS = 110.0


def commands(heading: str) -> dict[str, str]:
    """The parts of the first code block below this text, keyed by the first word of each part's comment."""
    block = PAGE.split(heading)[1].split("```bash\n")[1].split("```")[0]
    return {part.strip("# ").split()[0].strip(".,:"): f"{part}\n" for part in block.split("\n\n")}


def without(script: str, *programs: str) -> str:
    """The script without the lines that call these programs."""
    lines = script.splitlines(keepends=True)
    return "".join(line for line in lines if line.split(" ")[0] not in programs)


def run(release: Release, script: str, folder: Path) -> str:
    """Run the script in a shell that stops at the first failing command; returns its standard output."""
    for written, replacement in (
        ("helm upgrade laneway ./helm/laneway", f"helm upgrade {NAME} {CHART}"),
        ("laneway", NAME),
        ("-n laneway", f"-n {release.namespace}"),
    ):
        script = script.replace(written, replacement)
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
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout
