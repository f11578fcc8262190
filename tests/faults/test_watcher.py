"""The watcher records each death with a moment at which the process was alive, and one at which it was dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chaos.records import Limits, read_history
from chaos.system.death_watcher import DeathWatcher
from chaos.system.procfs import process_name

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
time.sleep(60)
"""

NOT_REAPING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_deaths_of_a_process_and_of_its_child_are_recorded(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    names = {pid: process_name(pid) for pid in (parent.pid, child)}
    watcher = DeathWatcher(tmp_path)
    watcher.add(parent.pid)
    watcher.start()
    try:
        until(lambda: watcher.alive() == names)
        killed_ns = {}
        for pid in (child, parent.pid):
            killed_ns[pid] = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: pid not in watcher.alive())  # type: ignore[misc]
        deaths = {death.process: death for death in read_history(tmp_path, Limits(1, 1, 1)).deaths}
        assert set(deaths) == set(names.values())
        for pid, name in names.items():
            assert deaths[name].last_alive_ns - 200_000_000 < killed_ns[pid] <= deaths[name].dead_ns
            assert deaths[name].last_alive_ns < deaths[name].dead_ns
    finally:
        watcher.stop()
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_dead_process_that_its_parent_does_not_reap_dies_once(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", NOT_REAPING], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    child = int(parent.stdout.readline())
    watcher = DeathWatcher(tmp_path)
    watcher.add(parent.pid)
    watcher.start()
    try:
        until(lambda: child in watcher.alive())
        os.kill(child, signal.SIGKILL)
        until(lambda: child not in watcher.alive())
        discoveries = watcher.discoveries
        until(lambda: watcher.discoveries >= discoveries + 3)
        parent.stdin.close()
        parent.wait(10)
        until(lambda: not watcher.alive())
        assert len(read_history(tmp_path, Limits(1, 1, 1)).deaths) == 2
    finally:
        watcher.stop()
        parent.kill()
        parent.wait()
        parent.stdout.close()
