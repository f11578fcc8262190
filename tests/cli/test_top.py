"""`laneway top` on a real terminal: it shows the lanes, goes on while the API is away, and gives the terminal back."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from struct import pack
from unittest.mock import Mock

import pytest
from rich.table import Table
from typer.testing import CliRunner

from laneway.__main__ import app
from laneway.cli import top
from laneway.client import ServerUnavailable
from laneway.storage.users import Role
from tests.api.running import Api

LIMIT_SECONDS = 30


def _take_terminal() -> None:
    """Make Ctrl-C in this terminal an interrupt of this process. What a shell starts in the background ignores interrupts."""
    ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Screen:
    """`laneway top` in a terminal of 30 lines of 100 columns."""

    def __init__(self, home: Path, url: str, token: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, pack("HHHH", 30, 100, 0, 0))
        self._theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "laneway", "top", "--every", "0.2"],
            env=os.environ
            | {
                "LANEWAY_URL": url,
                "LANEWAY_TOKEN": token,
                "XDG_CONFIG_HOME": str(home),
                "TERM": "xterm",
            },
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - two system calls
        )
        self.shown = ""

    def shows(self, text: str) -> None:
        """Wait until the text has been shown."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-3000:]
            if select.select([self._ours], [], [], 0.1)[0]:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def ends(self) -> int:
        """Return the exit code, once the terminal is as it was before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.05)[0]:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")
        assert self.process.returncode is not None, f"it did not end within {LIMIT_SECONDS} s"
        assert termios.tcgetattr(self._theirs) == self.before
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def screen(tmp_path: Path, api: Api) -> Iterator[Screen]:
    token = api.auth(api.user(), Role.ADMIN)["authorization"].removeprefix("Bearer ")
    screen = Screen(tmp_path, api.url, token)
    yield screen
    screen.close()


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_top_shows_the_lanes_until_a_key_is_pressed(screen: Screen, api: Api, key: bytes) -> None:
    screen.shows("q quits")
    screen.shows("WORKER")
    user = api.user()
    api.enqueue(user)
    screen.shows(user)
    screen.press(b"x")  # any other key is ignored
    screen.press(key)
    assert screen.ends() == 0
    assert "Traceback" not in screen.shown


def test_the_last_figures_stay_while_the_api_is_away() -> None:
    away = Mock(admin=Mock(overview=Mock(side_effect=ServerUnavailable("the API does not answer"))))
    before = Table()
    page, notice = top._next_page(away, before)
    assert page is before
    assert notice == "the API does not answer; these figures are old"


def test_top_refuses_a_pipe() -> None:
    result = CliRunner().invoke(app, ["top"])
    assert result.exit_code == 2
    assert "top needs a terminal" in result.output
