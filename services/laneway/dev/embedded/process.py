"""A server as a child process: started, awaited, killed, restarted; it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from laneway.parent import end_with_parent

READY_SECONDS = 120.0
"""Limit for a start: a Valkey reads its append-only file first."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01


class EmbeddedError(RuntimeError):
    """An embedded server is not installed or does not start."""


class Embedded:
    """One server process. The thread that starts it must live as long as the server is wanted: its end counts as the
    death of the parent."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        config: bytes,
        folder: Path,
        url: str,
        ready: Callable[[int], bool],
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`config` is the server's standard input; `folder` is its working directory, where its data goes; `ready` gets
        the process id; `environment` is added to ours."""
        self.name = name
        self.url = url
        self.folder = folder
        self._argv = argv
        self._config = config
        self._ready = ready
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the last start, also when it has ended."""
        if self._process is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._process.pid

    def spawn(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Start without waiting. Its output goes to the descriptor `output`, else to `<name>.log` in its folder."""
        if output is None:
            with (self.folder / f"{self.name}.log").open("ab") as log:
                return self.spawn(log.fileno())
        self._process = spawn(
            self._argv,
            output=output,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            env={**os.environ, **self._environment},
        )
        if self._process.stdin is not None:
            with (
                suppress(BrokenPipeError),
                self._process.stdin as stdin,
            ):  # broken: who waits for it sees that it has ended
                stdin.write(self._config)
        return self._process

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ready(self) -> bool:
        """Whether it runs and answers."""
        return self.running() and self._ready(self.pid)

    def start(self) -> None:
        """Start and wait until it answers; raises EmbeddedError with the end of its log."""
        self.spawn()
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if not self.running() or time.monotonic() > deadline:
                self.kill()
                log = (self.folder / f"{self.name}.log").read_text(errors="replace").splitlines()
                raise EmbeddedError(f"{self.name} does not start:\n" + "\n".join(log[-10:]))
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the end; SIGKILL after `STOP_SECONDS`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port, data and password: `url` stays right."""
        self.stop()
        self.start()


def spawn(
    argv: Sequence[str],
    *,
    output: int,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process of its own session (a Ctrl-C in the terminal does not reach it) that does not outlive this one."""
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env=env,
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),  # noqa: PLW1509 - two system calls; no lock that a fork could leave held
    )
