"""Every logger writes whole JSON lines, whatever the values and however many processes share a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laneway.telemetry import job_events, lines
from laneway.telemetry.job_events import JOB_EVENTS, STATE_EVENTS
from laneway.telemetry.job_log import JobLog


def lines_of(program: str, **variables: str) -> list[dict[str, Any]]:
    """Run a program and parse each line of its standard output. Its standard error must be empty."""
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ) | variables, capture_output=True, check=False
    )
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


SETUP = """
import logging, sys, threading, warnings
import structlog
from laneway.telemetry.job_log import JobLog
from laneway.telemetry.log import configure
configure("worker", "INFO")
log = structlog.get_logger()
"""


def test_structlog_and_the_standard_library_write_the_same_fields() -> None:
    ours, theirs = lines_of(
        SETUP + "log.info('hello', user='ann'); logging.getLogger('celery.x').warning('%s!', 'hi')"
    )
    assert (ours["level"], ours["service"], ours["event"], ours["user"]) == ("info", "worker", "hello", "ann")
    assert (theirs["level"], theirs["service"], theirs["event"]) == ("warning", "worker", "hi!")
    for line in (ours, theirs):
        assert line["ts"][10:11] + line["ts"][19:20] + line["ts"][26:] == "T.Z"


def test_under_gunicorn_no_line_is_doubled_and_access_logs_are_off(tmp_path: Path) -> None:
    (tmp_path / "an_app.py").write_text(
        "import logging, signal, os\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        return\n"
        "    logging.getLogger('uvicorn.error').warning('from uvicorn')\n"
        "    logging.getLogger('an_app').warning('from the app')\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b''})\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
    )
    program = f"""
import sys, threading, urllib.request
sys.path.insert(0, {str(tmp_path)!r})
from gunicorn.app.base import BaseApplication
from laneway.dev.embedded import free_port
from laneway.telemetry.log import configure, logging_config
configure("api", "INFO")
port = free_port()

class Program(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", f"127.0.0.1:{{port}}")
        self.cfg.set("worker_class", "uvicorn_worker.UvicornWorker")
        self.cfg.set("logconfig_dict", logging_config("api", "INFO"))
        self.cfg.set("control_socket_disable", True)
        self.cfg.set("when_ready", lambda _: threading.Thread(target=urllib.request.urlopen, args=[f"http://127.0.0.1:{{port}}/"]).start())

    def load(self):
        import an_app
        return an_app.app

Program().run()
"""
    events = [line["event"] for line in lines_of(program)]
    assert events.count("from uvicorn") == events.count("from the app") == 1
    assert sum("Starting gunicorn" in event for event in events) == 1
    assert not [event for event in events if "GET /" in event]


def test_exceptions_warnings_and_dead_threads_are_logged() -> None:
    program = """
try:
    raise ValueError("broken")
except ValueError:
    log.exception("caught")
    logging.getLogger("a.b").exception("caught too")
warnings.warn("careful")
thread = threading.Thread(target=lambda: 1 / 0, name="doomed")
thread.start(); thread.join()
raise RuntimeError("the end")
"""
    caught, too, warning, thread, end = lines_of(SETUP + program)
    assert caught["level"] == too["level"] == "error"
    assert caught["exception"].endswith("ValueError: broken\n")
    assert too["exception"] == caught["exception"]
    assert "careful" in warning["event"]
    assert (thread["thread"], thread["level"]) == ("doomed", "critical")
    assert end["exception"].endswith("RuntimeError: the end\n")


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    [
        "lone \udcff surrogate",
        {"\ud800": ["\udfff"]},
        2**80,
        b"\xff\xfe",
        Hostile(),
        {(1, 2): Hostile()},
        float("nan"),
        {"deep": {"deep": {"deep": {"deep": {"deep": {"deep": {"deep": {"deep": 2**80}}}}}}}},
    ],
)
def test_no_value_breaks_a_line(value: object) -> None:
    line = lines.encode({"event": "x", "value": value})
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == "x"


@pytest.mark.parametrize(
    "fields",
    [
        {"exception": "first\n" + "middle\n" * 5000 + "last"},
        {"exception": "first" + "\x00" * 50_000 + "last", "error": "é" * 50_000},
        {"numbers": list(range(10_000))},
        {f"field{number}": "value" for number in range(5000)},
    ],
)
def test_no_line_exceeds_what_a_pipe_writes_atomically(fields: dict[str, object]) -> None:
    line = lines.encode({"event": "x", **fields})
    assert len(line) <= lines.LINE_BYTES
    read = json.loads(line)
    assert read["event"] == "x"
    if "exception" in fields:
        assert read["exception"].startswith("first")
        assert read["exception"].endswith("last")


def job_lines(level: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        JobLog("worker", level, worker="host:1", fd=writing).write(events)
        os.close(writing)
        return [json.loads(line) for line in pipe]


def job_event(event: str, **more: Any) -> dict[str, Any]:
    return {"event": event, "job_id": "0" * 25, "user": "ann", "type": "echo", "attempt": 1, **more}


def test_job_events_have_the_same_fields_and_honour_the_level() -> None:
    events = [job_event(name) for name in JOB_EVENTS]
    written = job_lines("INFO", events)
    assert [line["event"] for line in written] == list(JOB_EVENTS)
    assert {line["event"] for line in written if line["level"] == "warning"} == {
        "retried",
        "interrupted",
        "failed",
    }
    assert {(line["service"], line["worker"], line["user"], line["attempt"]) for line in written} == {
        ("worker", "host:1", "ann", 1)
    }
    assert [line["event"] for line in job_lines("WARNING", events)] == ["retried", "interrupted", "failed"]
    assert not JobLog("worker", "WARNING").wants("started")


def test_events_share_field_names_and_omit_unknown_fields() -> None:
    whole = {"job_id": "j", "user": "ann", "type": "echo", "attempt": 2}
    assert job_events.accepted("j", "ann", "echo") == {
        "event": "accepted",
        "job_id": "j",
        "user": "ann",
        "type": "echo",
    }
    assert job_events.started("j", "ann", "echo", 2) == {"event": "started"} | whole
    assert job_events.cancelled("j", "ann") == {"event": "cancelled", "job_id": "j", "user": "ann"}
    assert job_events.cancelled("j", "ann", reason="gone")["reason"] == "gone"
    assert job_events.ended("retrying", "j", "ann", "echo", 2)["event"] == "retried"
    for state, event in STATE_EVENTS.items():
        assert job_events.ended(state, "j", "ann", "echo", 2) == {"event": event} | whole
    known = job_events.ended("failed", "j", "ann", "echo", 2, duration_ms=0.0, error="{}", reason="late")
    assert (known["duration_ms"], known["error"], known["reason"]) == (0.0, "{}", "late")
    assert set(STATE_EVENTS.values()) <= set(JOB_EVENTS)


def test_a_broken_or_long_error_leaves_the_other_lines_whole() -> None:
    written = job_lines(
        "INFO",
        [
            job_event("succeeded", duration_ms=1.5),
            job_event("failed", error="\udcff"),
            job_event("failed", error="x" * 100_000),
            job_event("succeeded"),
        ],
    )
    assert [line["event"] for line in written] == ["succeeded", "failed", "failed", "succeeded"]
    assert written[0]["duration_ms"] == 1.5
    assert written[1]["error"] == "\\udcff"
    assert {line["worker"] for line in written} == {"host:1"}


def test_lines_of_several_processes_on_one_pipe_are_not_torn() -> None:
    program = """
import os
events = [{"event": "failed", "job_id": "0" * 25, "user": "ann", "error": "e" * size} for size in range(0, 3900, 60)]
jobs = JobLog("worker", "INFO", worker="w")
for _ in range(3):
    if not os.fork():
        for _ in range(100):
            jobs.write(events)
            log.info("between", text="t" * 3000)
        os._exit(0)
for _ in range(3):
    os.wait()
"""
    written = lines_of(SETUP + program)
    assert len(written) == 3 * 100 * (65 + 1)


def test_a_job_event_costs_little() -> None:
    """A job costs tens of microseconds in all; the limit leaves room for a slow machine."""
    program = """
import os, time
jobs = JobLog("worker", "INFO", worker="w", fd=os.open(os.devnull, os.O_WRONLY))
batch = [
    {"event": "succeeded", "job_id": "0" * 25, "user": "ann", "type": "echo", "attempt": 1, "duration_ms": 1.25}
    for _ in range(64)
]
begun = time.process_time()
for _ in range(500):
    jobs.write(batch)
log.info("cost", microseconds=(time.process_time() - begun) / 32_000 * 1e6)
"""
    (line,) = lines_of(SETUP + program)
    assert line["microseconds"] < 5


def test_a_log_that_a_handler_has_closed_goes_on_at_standard_error() -> None:
    code = (
        "import os, structlog; from laneway.telemetry import lines, log; log.configure('worker', 'INFO');"
        "lines.reserve_output(); os.dup2(2, 1); structlog.get_logger().info('before');"
        "os.closerange(3, 5000); structlog.get_logger().info('after')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert [
        [json.loads(line)["event"] for line in out.splitlines()] for out in (done.stdout, done.stderr)
    ] == [
        ["before"],
        ["after"],
    ]


def test_no_socket_gets_the_number_of_a_closed_standard_stream(tmp_path: Path) -> None:
    """Or it would get the log's lines, too."""
    code = (
        "import socket, sys; from laneway.telemetry.log import configure; configure('worker', 'INFO'); "
        "open(sys.argv[1], 'w').write(str(socket.socket().fileno()))"
    )
    closed = ["sh", "-c", 'exec 0<&- 1>&- 2>&-; exec "$@"', "sh"]
    subprocess.run([*closed, sys.executable, "-c", code, str(tmp_path / "number")], check=True)
    assert int((tmp_path / "number").read_text()) > 2
