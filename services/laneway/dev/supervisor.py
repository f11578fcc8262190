"""Keeps child processes running, reads what they print, and stops them in order. One thread, one loop."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from laneway.dev.output import ChildOutput, Output, new_pipe

ROUND_SECONDS = 0.1
READ_BYTES = 256 * 1024
BACKOFF_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that ran this long starts again without the backoff of its earlier ends."""
HURRY_SECONDS = 3.0
"""Time that each child has to stop after a second request to stop."""


class StartFailed(RuntimeError):
    """A child ended before the system was ready."""


@dataclass
class Child:
    """A program to run. `start` gets the descriptor for its output; `stop_seconds` is how long it may take to stop."""

    name: str
    start: Callable[[int], subprocess.Popen[bytes]]
    stop_seconds: float
    process: subprocess.Popen[bytes] | None = None
    ends: int = 0
    started: float = 0.0
    restart_at: float | None = None
    outputs: dict[int, ChildOutput] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Runs children. `signals` counts the requests to stop: SIGINT, SIGTERM, and SIGHUP except under nohup."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self.signals = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._count_signal)

    def _count_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1

    def start(self, child: Child) -> None:
        """Start a child, and supervise it from now on."""
        if child not in self._children:
            self._children.append(child)
        reading, writing = new_pipe()
        child.outputs[reading] = ChildOutput(child.name, self._output)
        self._selector.register(reading, selectors.EVENT_READ, child)
        try:
            child.process = child.start(writing)
        finally:
            os.close(writing)
        child.started, child.restart_at = time.monotonic(), None

    def wait_until_ready(self, ready: Callable[[], bool]) -> bool:
        """Wait for `ready`. Returns False if asked to stop first. Raises StartFailed when a child ends."""
        while not self.signals:
            self._round()
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    raise StartFailed(
                        f"{child.name} ended with status {child.process.returncode} while starting"
                    )
            if ready():
                return True
        return False

    def keep_running(self, each_round: Callable[[], None]) -> None:
        """Start every child again that ends, until asked to stop. Calls `each_round` ten times a second."""
        while not self.signals:
            self._round()
            each_round()
            for child in self._children:
                if child.restart_at is None:
                    self._plan_restart(child)
                elif time.monotonic() >= child.restart_at:
                    self.start(child)
                    pid = child.process and child.process.pid
                    self._output.log("warning", "child_restarted", child=child.name, pid=pid)

    def _plan_restart(self, child: Child) -> None:
        if child.process is None or child.running:
            return
        _kill_group(child.process)  # what its own children leave behind could hold its port
        self._drain(child)
        now = time.monotonic()
        child.ends = 1 if now - child.started > STEADY_SECONDS else child.ends + 1
        wait_seconds = min(BACKOFF_SECONDS * 2 ** (child.ends - 1), BACKOFF_MAX_SECONDS)
        child.restart_at = now + wait_seconds
        self._output.log(
            "error",
            "child_ended",
            child=child.name,
            status=child.process.returncode,
            restart_in_seconds=wait_seconds,
        )

    def stop(self, children: Sequence[Child]) -> None:
        """Send SIGTERM to all and wait for their ends. A child that takes longer than it may is killed; a second request to
        stop shortens the wait."""
        running = [child for child in children if child.running]
        for child in running:
            if child.process is not None:
                child.process.terminate()
        began, hurrying = time.monotonic(), False
        while running:
            self._round()
            if self.signals > 1 and not hurrying:
                began, hurrying = time.monotonic(), True
                self._output.log("warning", "shutdown_hurried", children=[child.name for child in running])
            for child in list(running):
                limit = min(child.stop_seconds, HURRY_SECONDS) if hurrying else child.stop_seconds
                if child.process is None or not child.running:
                    running.remove(child)
                elif time.monotonic() > began + limit:
                    self._output.log("error", "child_killed", child=child.name, after_seconds=limit)
                    _kill_tree(child.process)
        for child in children:
            self._drain(child)

    def _round(self) -> None:
        for key, _ in self._selector.select(ROUND_SECONDS):
            self._read(key.data, key.fd)
        self._output.terminal.tally()

    def _read(self, child: Child, descriptor: int) -> bool:
        """Read once and return whether there may be more."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            child.outputs[descriptor].feed(data)
            return True
        self._selector.unregister(descriptor)
        os.close(descriptor)
        child.outputs.pop(descriptor).close()
        return False

    def _drain(self, child: Child) -> None:
        for descriptor in list(child.outputs):
            while self._read(child, descriptor):
                pass


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all its descendants, those in sessions of their own too."""
    for pid in [process.pid, *_descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _descendants(child)
