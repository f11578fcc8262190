"""The entry point of the development image restarts its command when a source changes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helm.chart import ROOT

LIMIT_SECONDS = 20
PROGRAM = """
import pathlib, signal, sys, time
from services import number
note = pathlib.Path("notes").open("a", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: (note.write("ended\\n"), sys.exit(0)))
note.write(f"started {number.VALUE}\\n")
time.sleep(60)
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").touch()
    (tmp_path / "services" / "number.py").write_text("VALUE = 1\n")
    return tmp_path


@pytest.fixture
def reload(sources: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-B", ROOT / "k8s" / "dev" / "reload.py", sys.executable, "-B", "-c", PROGRAM],
        cwd=sources,
    )
    yield process
    process.kill()
    process.wait()


def _notes(sources: Path) -> list[str]:
    path = sources / "notes"
    return path.read_text().splitlines() if path.exists() else []


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_change_stops_the_command_gracefully_and_restarts_it_with_the_new_source(
    sources: Path, reload: subprocess.Popen[bytes]
) -> None:
    _until(lambda: _notes(sources) == ["started 1"])
    (sources / "services" / "number.py").write_text("VALUE = 2\n")
    _until(lambda: _notes(sources) == ["started 1", "ended", "started 2"])
    reload.send_signal(signal.SIGTERM)
    assert reload.wait(LIMIT_SECONDS) == 0
    assert _notes(sources)[-1] == "ended"


def test_after_a_broken_source_it_waits_for_the_next_change(
    sources: Path, reload: subprocess.Popen[bytes]
) -> None:
    _until(lambda: _notes(sources) == ["started 1"])
    (sources / "services" / "number.py").write_text("VALUE = \n")
    _until(lambda: _notes(sources) == ["started 1", "ended"])
    (sources / "services" / "number.py").write_text("VALUE = 3\n")
    _until(lambda: _notes(sources)[-1] == "started 3")
    assert reload.poll() is None


def test_a_command_that_succeeds_is_not_restarted(sources: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "k8s" / "dev" / "reload.py", sys.executable, "-c", "print('once')"],
        cwd=sources,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    assert done.stdout == b"once\n"
