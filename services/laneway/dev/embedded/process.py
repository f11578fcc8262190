"""A server as a child process: start, kill, restart, stop. It never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from laneway.dev.embedded.ports import free_port
from laneway.parent import end_with_parent

READY_SECONDS = 120.0
"""Time limit of a start: a Valkey reads its append-only file first."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01
_PORT_TRIES = 20


class EmbeddedError(RuntimeError):
    """An embedded server is not installed or does not start."""


class Embedded:
    """One server process. The thread that starts it must outlive the server: its end counts as the parent's death."""

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
        """`config` is written to the server's standard input, `folder` is its working directory and holds its data, `ready`
        gets the process id, `environment` is added to this process's own."""
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
        """The process id of the last start, even when that process has ended."""
        if self._process is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._process.pid

    def spawn(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Start without waiting. Its output goes to the descriptor `output`, or to `<name>.log` in its folder."""
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
            # A broken pipe means that the server has ended, which whoever waits for it sees.
            with suppress(BrokenPipeError), self._process.stdin as stdin:
                stdin.write(self._config)
        return self._process

    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def ready(self) -> bool:
        """Whether the server runs and answers."""
        return self.running() and self._ready(self.pid)

    def start(self) -> None:
        """Start and wait until the server answers. Raises EmbeddedError with the end of its log."""
        self.spawn()
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if not self.running() or time.monotonic() > deadline:
                self.kill()
                log = (self.folder / f"{self.name}.log").read_text(errors="replace").splitlines()
                raise EmbeddedError(f"{self.name} does not start:\n" + "\n".join(log[-10:]))
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM and wait for the end; after `STOP_SECONDS` send SIGKILL."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Stop the server if it runs and start it with the same port, data and password: `url` stays valid."""
        self.stop()
        self.start()


@contextmanager
def running(make: Callable[[int], Embedded], port: int | None) -> Iterator[Embedded]:
    """Start the server that `make` returns for a port, a free one unless `port` is given, and stop it at the end."""
    server = _start_on_some_port(make, port)
    try:
        yield server
    finally:
        server.stop()


def spawn(
    argv: Sequence[str],
    *,
    output: int,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, where a Ctrl-C in the terminal does not reach it. It does not outlive this one."""
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env=env,
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),  # noqa: PLW1509 - two system calls, and no lock that a fork could leave held
    )


def _start_on_some_port(make: Callable[[int], Embedded], port: int | None) -> Embedded:
    tries = 0
    while True:
        server = make(port or free_port())
        try:
            server.start()
        except EmbeddedError as error:  # another process may have taken the port since it was found free
            tries += 1
            if port or tries == _PORT_TRIES or "in use" not in str(error):
                raise
        else:
            return server
