"""An empty environment with the wheel in it, as users get it. Nothing is downloaded.

The dependencies are those of this environment: links to its packages stand in the new one, and pip finds there whether they
satisfy what the wheel and its extra require.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, dependencies: Path, only: set[str] | None = None) -> None:
    """Make an environment that sees the packages of this one, ours apart; with `only` these files and folders."""
    venv.create(folder)
    dependencies.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("laneway", "_laneway")) and (only is None or entry.name in only):
            (dependencies / entry.name).symlink_to(entry)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(f"{dependencies}\n")


def install(environment: Path, requirement: str) -> None:
    """Install with pip, from what is there. Raises RuntimeError with what pip says."""
    command = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--quiet"]
    command += ["install", "--no-index", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
