"""The log file with whole lines of all children and rotation, and the short form on the terminal."""

from __future__ import annotations

import json
import os
import pty
import sys
import termios
from pathlib import Path

import pytest

from laneway.dev.log_file import LogFile
from laneway.dev.output import ChildOutput, Output
from laneway.dev.terminal import Terminal
from laneway.telemetry.lines import encode


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(LogFile(tmp_path / "logs" / "all.log", file_bytes=1000, rotated_files=3), Terminal())


def written(output: Output) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.file.path.read_bytes().splitlines()]


def line(event: str, **fields: object) -> bytes:
    return encode(
        {"ts": "2026-01-02T03:04:05.678901Z", "level": "info", "service": "api", "event": event, **fields}
    )


def test_chunks_become_whole_lines_wherever_they_are_cut(tmp_path: Path) -> None:
    whole = line("accepted", user="ann") + line("started", user="ann") + line("other")
    for cut in range(len(whole)):
        output = Output(LogFile(tmp_path / f"{cut}.log"), Terminal())
        pump = ChildOutput("api", output)
        pump.feed(whole[:cut])
        pump.feed(whole[cut:])
        assert output.file.path.read_bytes() == whole, cut


def test_foreign_output_becomes_log_lines(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    pump = ChildOutput("worker", output)
    pump.feed(b"Traceback (most recent call last):\n\xff\xfe\n\n" + line("other") + b"unfinished")
    pump.close()
    events = [fields["event"] for fields in written(output)]
    assert events == ["Traceback (most recent call last):", "\\xff\\xfe", "other", "unfinished"]
    assert "worker: Traceback" in capsys.readouterr().out


def test_what_a_handler_prints_is_shown_as_it_is(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    ChildOutput("worker", output).feed(line("output_captured", stream="stdout", text="hello\x1b[2J"))
    assert capsys.readouterr().out.endswith(": hello\\x1b[2J\n")


@pytest.mark.parametrize(
    "fields",
    [
        {"logger": "x", "msg": "no level"},
        {"level": {}, "logger": "x"},
        {"service": ["x"], "event": "x"},
        {"level": "info", "event": "\N{ESCAPE}[2J", "user": "a\nb"},
    ],
)
def test_a_handlers_output_harms_neither_log_nor_terminal(
    output: Output, capsys: pytest.CaptureFixture[str], fields: dict[str, object]
) -> None:
    """A handler may log lines that begin like ours, and print what users send."""
    printed = encode({"ts": "2026-01-02T03:04:05.678901Z", **fields})
    pump = ChildOutput("worker", output)
    pump.feed(printed + b"red \x1b[31m\n")
    assert output.file.path.read_bytes().startswith(printed)
    assert [text for text in capsys.readouterr().out.splitlines() if not text.isprintable()] == []


def test_a_server_is_quiet_on_the_terminal(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    pump = ChildOutput("valkey", output)
    pump.feed(b"12:M 25 Nov 2026 00:59:55.981 # WARNING Memory\n12:signal-handler (17) Received SIGTERM\n")
    assert [(fields["level"], fields["event"]) for fields in written(output)] == [
        ("warning", "WARNING Memory"),
        ("info", "signal-handler (17) Received SIGTERM"),
    ]
    assert capsys.readouterr().out == ""


def test_the_terminal_counts_jobs_and_shows_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogFile(tmp_path / "all.log"), Terminal())
    pump = ChildOutput("worker", output)
    pump.feed(line("accepted") * 1200 + line("failed", error='"event":"succeeded"') + line("up", port=8000))
    pump.feed(line("a library's chatter", logger="celery"))
    assert len(written(output)) == 1203
    output.terminal.tally()
    shown = capsys.readouterr().out.splitlines()
    assert [text.split(maxsplit=1)[1] for text in shown] == [
        "api    info     up port=8000",
        "jobs            1,200 accepted, 1 failed",
    ]


def test_the_file_is_rotated_and_few_old_ones_are_kept(output: Output) -> None:
    one = line("x" * 300)
    for _ in range(20):
        output.file.write(one)
    folder = output.file.path.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "all.log",
        "all.log.1",
        "all.log.2",
        "all.log.3",
    ]
    for path in folder.iterdir():
        assert path.stat().st_size <= 1000
        assert set(path.read_bytes().splitlines(keepends=True)) == {one}


def test_an_existing_file_is_appended_to(output: Output) -> None:
    output.file.write(line("first"))
    again = LogFile(output.file.path)
    again.write(line("second"))
    assert [fields["event"] for fields in written(output)] == ["first", "second"]


def test_logging_survives_removed_files(output: Output) -> None:
    output.file.write(b"x" * 999 + b"\n")
    output.file.path.unlink()
    output.file.write(b"y" * 999 + b"\n")
    output.file.write(b"z\n")
    assert output.file.path.read_bytes().endswith(b"z\n")


def test_a_halted_terminal_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-S, a blocking write would wait until somebody presses Ctrl-Q."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        Terminal().say("before")
        assert os.read(master, 100) == b"before\r\n"
        termios.tcflow(slave, termios.TCOOFF)
        for _ in range(1000):
            Terminal().say("meanwhile" * 100)
        termios.tcflow(slave, termios.TCOON)
        Terminal().say("after")
        assert os.read(master, 100) == b"after\r\n"
    os.close(master)
