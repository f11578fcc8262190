"""A Docker daemon for the tests only. It pulls nothing, creates no network and leaves nothing behind.

Containers share the host's network, because the daemon may not touch the machine's firewall and bridges.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS, STOP_SECONDS = 30.0, 60.0


class NoDaemonError(RuntimeError):
    """A daemon cannot run here; the message says why."""


@dataclass(frozen=True)
class Docker:
    """The client of that daemon: `docker("run", ...)` returns the output and fails the test on an error."""

    client: str
    socket: Path

    def __call__(self, *arguments: str, limit_seconds: float = 60.0, stdin: int | None = None) -> str:
        done = self.run(*arguments, limit_seconds=limit_seconds, stdin=stdin)
        assert done.returncode == 0, (
            f"docker {' '.join(arguments)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
        return done.stdout

    def run(
        self, *arguments: str, limit_seconds: float = 60.0, stdin: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        # The daemon's built-in builder. BuildKit needs a client plugin that a machine may not have.
        environment = os.environ | {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}
        return subprocess.run(
            [self.client, *arguments],
            env=environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )


@contextmanager
def daemon() -> Iterator[Docker]:
    """Raises NoDaemonError."""
    programs = {name: shutil.which(name) for name in ("dockerd", "docker", "containerd")}
    if missing := [name for name, path in programs.items() if path is None]:
        raise NoDaemonError(f"{', '.join(missing)} not installed (Debian: docker.io)")
    if os.geteuid() != 0:
        raise NoDaemonError("dockerd is started as root only")
    folder = Path(tempfile.mkdtemp(prefix="laneway-docker-"))
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(_command(str(programs["dockerd"]), folder), stdout=log, stderr=log)
        try:
            docker = Docker(str(programs["docker"]), folder / "socket")
            _wait(docker, process, folder / "log")
            yield docker
            _remove_containers(docker)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
            # The daemon leaves this mount behind if a container used the host's network.
            subprocess.run(["umount", folder / "exec/netns/default"], capture_output=True, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(dockerd: str, folder: Path) -> list[str]:
    return [
        dockerd,
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--host=unix://{folder}/socket",
        f"--pidfile={folder}/pid",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
    ]


def _wait(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while docker.run("version").returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoDaemonError(f"dockerd does not start here:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _remove_containers(docker: Docker) -> None:
    if containers := docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", *containers)
