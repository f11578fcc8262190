"""Which signals request a stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from laneway.dev.log_file import LogFile
from laneway.dev.output import Output
from laneway.dev.supervisor import Supervisor
from laneway.dev.terminal import Terminal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def asked(tmp_path: Path) -> int:
    """Send each signal to this process and return how many count as a request to stop."""
    supervisor = Supervisor(Output(LogFile(tmp_path / "all.log"), Terminal()))
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    return supervisor.signals


def test_each_of_three_signals_requests_a_stop(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert asked(tmp_path) == 3


def test_sighup_does_not_stop_it_under_nohup(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert asked(tmp_path) == 2
