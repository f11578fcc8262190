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

from laneway.dev.output import Output, Pump, new_pipe

ROUND_SECONDS = 0.1
READ_BYTES = 256 * 1024
BACKOFF_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""Who ran this long before it ended is started again at once, as if for the first time."""
HURRY_SECONDS = 3.0
"""What is left to each child once somebody has lost patience."""


class StartFailed(RuntimeError):
    """A child ended before the system was up."""


@dataclass
class Child:
    """A program that is to run; `start` takes the descriptor for its output."""

    name: str
    start: Callable[[int], subprocess.Popen[bytes]]
    stop_seconds: float
    process: subprocess.Popen[bytes] | None = None
    ends: int = 0
    started: float = 0.0
    due: float | None = None
    pumps: dict[int, Pump] = field(default_factory=dict)


class Supervisor:
    """`signals` counts the requests to stop: SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under nohup."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._restarting = False
        self.signals = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._signalled)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1

    def start(self, child: Child) -> None:
        if child not in self._children:
            self._children.append(child)
        reading, writing = new_pipe()
        child.pumps[reading] = Pump(child.name, self._output)
        self._selector.register(reading, selectors.EVENT_READ, child)
        try:
            child.process = child.start(writing)
        finally:
            os.close(writing)
        child.started, child.due = time.monotonic(), None

    def wait_until_ready(self, ready: Callable[[], bool]) -> bool:
        """Go on until `ready`; False when asked to stop. Raises StartFailed when a child ends."""
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

    def keep_running(self) -> None:
        """Start again whatever ends, until asked to stop."""
        while not self.signals:
            self._round()
            for child in self._children:
                self._look_after(child)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.due is not None:
            if now >= child.due:
                self.start(child)
                self._output.log(
                    "warning", "restarted", child=child.name, pid=child.process and child.process.pid
                )
        elif child.process is not None and child.process.poll() is not None:
            _kill_group(child.process)  # what a dead parent left could hold its port
            self._drain(child)
            child.ends = 1 if now - child.started > STEADY_SECONDS else child.ends + 1
            wait = min(BACKOFF_SECONDS * 2 ** (child.ends - 1), BACKOFF_MAX_SECONDS)
            child.due = now + wait
            self._output.log(
                "error", "ended", child=child.name, status=child.process.returncode, restart_in_seconds=wait
            )

    def stop(self, children: Sequence[Child]) -> None:
        """SIGTERM to each, and wait for the end of all; SIGKILL to what takes longer than it may, sooner when asked again."""
        running = [child for child in children if child.process is not None and child.process.poll() is None]
        for child in running:
            if child.process is not None:
                child.process.terminate()
        begun, hurrying = time.monotonic(), False
        while running:
            self._round()
            if self.signals > 1 and not hurrying:
                begun, hurrying = time.monotonic(), True
                self._output.log("warning", "hurrying", children=[child.name for child in running])
            for child in list(running):
                limit = min(child.stop_seconds, HURRY_SECONDS) if hurrying else child.stop_seconds
                if child.process is None or child.process.poll() is not None:
                    running.remove(child)
                elif time.monotonic() > begun + limit:
                    self._output.log("error", "killed", child=child.name, after_seconds=limit)
                    _kill_tree(child.process)
        for child in children:
            self._drain(child)

    def _round(self) -> None:
        for key, _ in self._selector.select(ROUND_SECONDS):
            self._read(key.data, key.fd)
        self._output.terminal.tally()

    def _read(self, child: Child, descriptor: int) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            child.pumps[descriptor].feed(data)
            return True
        self._selector.unregister(descriptor)
        os.close(descriptor)
        child.pumps.pop(descriptor).close()
        return False

    def _drain(self, child: Child) -> None:
        for descriptor in list(child.pumps):
            while self._read(child, descriptor):
                pass


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """The process and all it has started, also what has a session of its own and would shut down warm."""
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
