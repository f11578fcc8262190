"""What the runs of a job have logged: lines, bounded in number and size, as Redis and MongoDB hold them.

The log of a job is one text without a line feed (`scripts/_logs.lua`): how many of its oldest runs were dropped, then each run as
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
_HEAD_BYTES = 500
"""Room for what a run has beside its lines."""
_CUT = "…"


class RunState(StrEnum):
    """Whether a run goes on, has ended, or was lost with its process: then its last lines may be missing."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class LogLine(NamedTuple):
    """A line. `number` counts the lines of a run from 1, also those that are not kept."""

    number: int
    at_us: int
    level: str
    text: str


class LoggedRun(NamedTuple):
    """The newest lines of a run. Its start and worker are None as long as Redis does not know them."""

    attempt: int
    started_us: int | None
    worker: str | None
    state: RunState
    lines: list[LogLine]


@dataclass(frozen=True, slots=True)
class JobLines:
    """The log of a job: its runs, oldest first. `dropped_runs`: how many older ones had no room."""

    dropped_runs: int
    runs: list[LoggedRun]


def line(number: int, at_us: int, level: str, text: str) -> LogLine:
    """Return a line of at most MAX_LINE_CHARACTERS, which JSON can hold whatever the text is."""
    if len(text) > MAX_LINE_CHARACTERS:
        text = text[: MAX_LINE_CHARACTERS - 1] + _CUT
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return LogLine(number, at_us, level[:MAX_LEVEL_CHARACTERS], text)


def newest(lines: Sequence[LogLine]) -> list[bytes]:
    """Return the newest lines as JSON, in order, as many as a run may keep."""
    kept: list[bytes] = []
    size = _HEAD_BYTES
    for one in reversed(lines[-MAX_LINES:]):
        encoded = orjson.dumps(tuple(one))
        size += len(encoded) + 1
        if size > MAX_RUN_BYTES:
            break
        kept.append(encoded)
    kept.reverse()
    return kept


def encode_run(attempt: int, started_us: int, worker: str, lines: Sequence[LogLine]) -> bytes:
    """Return a run that has ended."""
    head = orjson.dumps({"attempt": attempt, "started_us": started_us, "worker": worker})
    return head[:-1] + b',"lines":[' + b",".join(newest(lines)) + b"]}"


def decode(log: bytes | None) -> JobLines:
    """Return the log of a job that `log` holds. None is a job without any line. A run that is damaged counts as dropped."""
    count, *texts = (log or b"0").split(b"\t")
    runs = [run for run in map(_decode_run, texts) if run]
    dropped = int(count) if count.isdigit() else 0
    return JobLines(dropped + len(texts) - len(runs), runs)


def decode_lines(lines: Iterable[bytes]) -> list[LogLine]:
    """Return lines that Redis holds one by one."""
    return [LogLine(*orjson.loads(one)) for one in lines]


def _decode_run(text: bytes) -> LoggedRun | None:
    try:
        run: dict[str, Any] = orjson.loads(text)
        state = RunState.LOST if run.get("lost") else RunState.ENDED
        lines = [LogLine(*one) for one in run["lines"]]
        return LoggedRun(run["attempt"], run["started_us"], run["worker"], state, lines)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
