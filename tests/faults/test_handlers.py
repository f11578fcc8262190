"""The records of the chaos handlers tell a finished attempt from one whose process died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson

from chaos.records import Attempt, Limits, canonical, read_history
from chaos.system.handlers import RECORDS_VARIABLE
from chaos.system.programs import ROOT

RUN = """
import asyncio, inspect, json, sys
from laneway import Context
from laneway.handlers.loader import load
type_, payload = sys.argv[1], json.loads(sys.argv[2])
function = load(["chaos.system.handlers"]).types[type_].function
context = Context("j1", "ann", 1, lambda percent, note: None, print)
result = function(payload, context)
print(json.dumps(asyncio.run(result) if inspect.iscoroutine(result) else result))
"""


def run(folder: Path, type_: str, payload: object) -> tuple[int, bytes, Attempt]:
    """Call a handler in a process of its own, and return its exit code, its output and the recorded attempt."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, type_, orjson.dumps(payload).decode()],
        env={**os.environ, RECORDS_VARIABLE: str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    (attempt,) = read_history(folder, Limits(1, 1, 1)).attempts
    assert (attempt.job_id, attempt.user, attempt.attempt) == ("j1", "ann", 1)
    return done.returncode, done.stdout, attempt


def test_the_recorded_result_is_what_the_handler_returned(tmp_path: Path) -> None:
    for number, type_ in enumerate(("work", "wait", "fork", "close")):
        folder = tmp_path / str(number)
        folder.mkdir()
        payload = {"tag": "t", "ms": 1, "times": 0}
        code, output, attempt = run(folder, type_, payload)
        assert (code, attempt.outcome) == (0, "succeeded")
        assert attempt.result == canonical(orjson.loads(output))
        assert attempt.end_ns is not None
        assert attempt.end_ns > attempt.start_ns


def test_the_recorded_outcome_tells_permanent_failures_from_others(tmp_path: Path) -> None:
    for type_, outcome in (("fail", "raised"), ("refuse", "permanent")):
        folder = tmp_path / type_
        folder.mkdir()
        code, _, attempt = run(folder, type_, {})
        assert (code, attempt.outcome, attempt.result) == (1, outcome, None)


def test_a_process_that_dies_leaves_a_start_without_an_end(tmp_path: Path) -> None:
    for type_ in ("die", "leak"):
        folder = tmp_path / type_
        folder.mkdir()
        code, _, attempt = run(folder, type_, {})
        assert (code, attempt.end_ns, attempt.outcome) == (-9, None, None)
