"""The log of a job as Redis and MongoDB hold it: the lines of each run, bounded in number and size, and how each run ended after which
the job went on.

It is one text without a line feed (`scripts/_logs.lua`): how many of its oldest runs were dropped, then each run as
JSON, all separated by tabs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

MAX_LINES = 200
MAX_LINE_CHARACTERS = 1000
MAX_RUN_BYTES = 50_000
"""Largest run as JSON. The log of a job has room for two of these; `_logs.lua` drops older runs."""
MAX_LEVEL_CHARACTERS = 20
MAX_ERROR_CHARACTERS = 1000
"""Of the message of a run's error. The job has the whole message of its last error."""
_HEAD_BYTES = 500
"""Room for what a run has beside its lines, unless a long error takes more."""
_CUT = "…"


class RunState(StrEnum):
    """Whether a run goes on, has ended, or was lost with its process: then its last lines may be missing."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class RunOutcome(StrEnum):
    """How a run ended after which the job went on: its attempt failed, or it was cut short and is not charged."""

    FAILED = "failed"
    INTERRUPTED = "interrupted"


class RunEnd(NamedTuple):
    """The end of a run after which the job went on. `error`: JSON text, or for an interrupted run the reason as plain text."""

    at_us: int
    outcome: RunOutcome
    error: bytes


class LogLine(NamedTuple):
    """A line. `number` counts the lines of a run from 1, also those that are not kept."""

    number: int
    at_us: int
    level: str
    text: str


class LoggedRun(NamedTuple):
    """The newest lines of a run. Its start and worker are None as long as Redis does not know them.

    A run that ended the job has no end here: the job has it. `ended_us` of a lost run is when the loss was noticed.
    """

    attempt: int
    started_us: int | None
    worker: str | None
    state: RunState
    lines: list[LogLine]
    ended_us: int | None = None
    outcome: RunOutcome | None = None
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class JobLines:
    """The log of a job: its runs, oldest first. `dropped_runs`: how many older ones had no room.

    A run that ended the job is here if it logged something, every other one in any case.
    """

    dropped_runs: int
    runs: list[LoggedRun]


def line(number: int, at_us: int, level: str, text: str) -> LogLine:
    """Return a line of at most MAX_LINE_CHARACTERS, which JSON can hold whatever the text is."""
    if len(text) > MAX_LINE_CHARACTERS:
        text = text[: MAX_LINE_CHARACTERS - 1] + _CUT
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return LogLine(number, at_us, level[:MAX_LEVEL_CHARACTERS], text)


def newest(lines: Sequence[LogLine], head_bytes: int = 0) -> list[bytes]:
    """Return the newest lines as JSON, in order, as many as a run may keep. `head_bytes`: what it has beside them."""
    kept: list[bytes] = []
    size = max(head_bytes, _HEAD_BYTES)
    for one in reversed(lines[-MAX_LINES:]):
        encoded = orjson.dumps(tuple(one))
        size += len(encoded) + 1
        if size > MAX_RUN_BYTES:
            break
        kept.append(encoded)
    kept.reverse()
    return kept


def encode_run(
    attempt: int, started_us: int, worker: str, lines: Sequence[LogLine], end: RunEnd | None = None
) -> bytes:
    """Return a run that has ended. `end`: None if the job ended with it."""
    run: dict[str, Any] = {"attempt": attempt, "started_us": started_us, "worker": worker}
    if end is not None:
        run |= {"ended_us": end.at_us, "outcome": end.outcome, "error": _error(end)}
    head = orjson.dumps(run)[:-1] + b',"lines":['
    return head + b",".join(newest(lines, len(head) + len(b"]}"))) + b"]}"


def decode(log: bytes | None) -> JobLines:
    """Return the log of a job that `log` holds. None is a job without any line. A run that is damaged counts as dropped."""
    count, *texts = (log or b"0").split(b"\t")
    runs = [run for run in map(_decode_run, texts) if run]
    dropped = int(count) if count.isdigit() else 0
    return JobLines(dropped + len(texts) - len(runs), runs)


def decode_lines(lines: Iterable[bytes]) -> list[LogLine]:
    """Return lines that Redis holds one by one."""
    return [LogLine(*orjson.loads(one)) for one in lines]


def _error(end: RunEnd) -> dict[str, str]:
    if end.outcome is RunOutcome.INTERRUPTED:
        error = {"type": "Interrupted", "message": end.error.decode("utf-8", "backslashreplace")}
    else:
        error = orjson.loads(end.error)
    return {"type": error["type"], "message": error["message"][:MAX_ERROR_CHARACTERS]}


def _decode_run(text: bytes) -> LoggedRun | None:
    try:
        run: dict[str, Any] = orjson.loads(text)
        state = RunState.LOST if run.get("lost") else RunState.ENDED
        lines = [LogLine(*one) for one in run["lines"]]
        outcome = RunOutcome(run["outcome"]) if run.get("outcome") else None
        error, ended_us = run.get("error"), run.get("ended_us")
        error = (
            {name: str(error.get(name, "")) for name in ("type", "message")}
            if isinstance(error, dict)
            else None
        )
        return LoggedRun(
            run["attempt"], run["started_us"], run["worker"], state, lines, ended_us, outcome, error
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
