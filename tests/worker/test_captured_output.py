"""What handlers print becomes events of the log, and tears no line of it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from laneway.telemetry import lines
from laneway.worker import private_folder
from laneway.worker.captured_output import EVENT_CHARACTERS, OutputReader, PrintedText
from tests.worker.running import Worker, wait_for


def run(worker: Worker, how: str, **payload: Any) -> tuple[str, list[dict[str, Any]]]:
    """Let handlers print, with others that run at the same time. Return their mark, and the events of it."""
    mark = "mark" + secrets.token_hex(6)
    system, user = worker.system, worker.system.user()
    ids = system.enqueue(user, "prints", *[{"how": how, "mark": mark, **payload}] * 3)
    others = system.enqueue(system.user(), "light", *[{"ms": 0}] * 50)
    wait_for(lambda: {*ids, *others} <= worker.logged("succeeded") | worker.logged("failed"), 60)
    return mark, events(worker, mark)


def events(worker: Worker, mark: str) -> list[dict[str, Any]]:
    return [line for line in worker.lines() if mark in line.get("text", "")]


def check_log(worker: Worker) -> None:
    assert not worker.strays()
    worker.lines()  # each is JSON


def test_a_print_without_a_line_feed_tears_no_line(shared: Worker) -> None:
    mark, _ = run(shared, "half a line")
    wait_for(lambda: sum(line["text"].count(mark) for line in events(shared, mark)) == 3)
    names = {f"{socket.gethostname()}:{pid}" for pid in shared.pool}
    assert {line["worker"] for line in events(shared, mark)} <= names
    check_log(shared)


def test_what_a_dying_process_has_printed_is_logged(shared: Worker) -> None:
    mark, _ = run(shared, "half a line", dies=True)
    wait_for(lambda: len(events(shared, mark)) == 3)
    assert {line["text"] for line in events(shared, mark)} == {f"half a line of {mark}"}
    check_log(shared)
    shared.await_ready()


def test_what_is_written_to_the_descriptors_is_logged(shared: Worker) -> None:
    mark, _ = run(shared, "by descriptor", dies=True)
    wait_for(lambda: len(events(shared, mark)) == 6)
    found = {(line["stream"], line["level"], line["text"]) for line in events(shared, mark)}
    assert found == {
        ("stdout", "info", f"\x1b[2J\\xff{mark}"),
        ("stderr", "warning", f"an error of {mark}"),
    }
    assert b"\x1b" not in shared.raw_log()
    shared.await_ready()


def test_what_subprocesses_print_is_logged(shared: Worker) -> None:
    mark, _ = run(shared, "by subprocess")
    wait_for(lambda: len(events(shared, mark)) >= 3)
    assert {line["stream"] for line in events(shared, mark)} >= {"stdout"}
    check_log(shared)


@pytest.mark.thorough  # tests below show where a line is cut
def test_a_line_of_10_mb_is_logged_in_pieces(shared: Worker) -> None:
    mark, _ = run(shared, "10 MB")
    wait_for(lambda: sum(line["text"].count(mark) for line in events(shared, mark)) == 6, 60)
    pieces = [line for line in shared.lines() if "é\0" in line.get("text", "")]
    assert sum(line["text"].count("é") for line in pieces) == 3 * 2_500_000
    check_log(shared)


def test_a_printed_line_of_a_log_is_no_line_of_the_log(shared: Worker) -> None:
    mark, _ = run(shared, "a forged line")
    wait_for(lambda: len(events(shared, mark)) == 3)
    assert "forged" not in shared.logged("succeeded")


@pytest.mark.parametrize(
    ("printed", "texts"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"a", b"b", b"\n"], ["ab"]),
        ([b"\xc3", b"\xa9\r\n"], ["é"]),
        ([b"\xc3\n"], ["\\xc3"]),
        ([b"\n\n"], []),
        ([b"end"], ["end"]),
        ([b"end\xc3"], ["end\\xc3"]),
        ([], []),
    ],
)
def test_each_printed_line_is_an_event(printed: list[bytes], texts: list[str]) -> None:
    text = PrintedText("host:1", "stdout")
    found = [event for data in [*printed, b""] for event in text.feed(data)]
    assert found == [{"worker": "host:1", "stream": "stdout", "text": line} for line in texts]


@pytest.mark.parametrize("character", ["x", "é", "\0", "😀", '"'])
def test_no_event_is_longer_than_a_line_of_the_log(character: str) -> None:
    text = PrintedText("h" * 64 + ":4194304", "stderr")
    data = (character * 5 * EVENT_CHARACTERS).encode()
    found = [event for part in [data[:7], data[7:], b"\n", b""] for event in text.feed(part)]
    assert "".join(str(event["text"]) for event in found) == character * 5 * EVENT_CHARACTERS
    for event in found:
        fields = {
            "ts": lines.timestamp(),
            "level": "warning",
            "service": "worker",
            "event": "output_captured",
        }
        assert orjson.loads(lines.encode({**fields, **event}))["text"] == event["text"]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[OutputReader]:
    reader = OutputReader(tmp_path)
    yield reader
    reader.close()


def test_an_unfinished_line_is_logged_in_two_events() -> None:
    text = PrintedText("host:1", "stdout")
    assert not list(text.feed(b"works ..."))
    assert text.is_unfinished
    assert [(event["text"], event["continues"]) for event in text.cut()] == [("works ...", True)]
    assert not text.is_unfinished
    assert [event["text"] for event in text.feed(b" done\n")] == [" done"]


def test_a_log_that_nobody_reads_blocks_no_handler(
    reader: OutputReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def is_writable(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 1000

    monkeypatch.setattr(lines, "is_output_writable", is_writable)
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as process:
        process.connect(str(private_folder.output_path(tmp_path)))
        socket.send_fds(process, [b"stdout host:1"], [reading])
    os.close(reading)
    with structlog.testing.capture_logs() as logged:
        reader.read(1)
        for _ in range(20):
            os.write(writing, (b"x" * 99 + b"\n") * 100)
            reader.read(1)
    os.close(writing)
    reader.read_all()
    assert waits[0] > 0, "it waits once"
    assert not any(waits[1:1000]), "and then for nobody"
    assert logged[0] == {"event": "output_dropped", "log_level": "warning", "characters": 99_000,
                         "reason": "nobody read the log"}  # fmt: skip
    assert len(logged) == 1001


PRINTS_TWICE = """
import sys
from pathlib import Path
from laneway.worker.captured_output import capture

capture(Path(sys.argv[1]))
print("while it lives", flush=True)
sys.stdin.read()
print("when it has died", flush=True)
"""


def test_a_print_is_no_error_when_the_supervisor_has_died(tmp_path: Path) -> None:
    """A job that may still end would fail with a broken pipe, and be charged."""
    reader = OutputReader(tmp_path)
    command = [sys.executable, "-c", PRINTS_TWICE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        with structlog.testing.capture_logs() as logged:
            wait_for(lambda: reader.read(1) and logged)
        assert logged[0]["text"] == "while it lives"
        reader.close()
        process.communicate(timeout=20)
    assert process.returncode == 0
