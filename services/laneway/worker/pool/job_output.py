"""Captures what a handler prints and logs, for the log of its job. It reaches the worker's own log as before.

- `print`, and whatever else writes text to `sys.stdout` and `sys.stderr`: a stream of ours is in their place.
- `logging` and structlog: a handler of the root logger, and a processor.

What a subprocess or a C library writes to the descriptors is no job's.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import structlog

from laneway.handlers.context import log_text
from laneway.worker.pool.current_job import current_job
from laneway.worker.pool.run_logs import RunLogs

LEVELS = {1: "info", 2: "warning"}
"""Of what is printed, as in the worker's own log."""
_logs: RunLogs | None = None


class JobStream(io.TextIOWrapper):
    """An unbuffered stream, as Python makes with -u, which gives the present job a copy."""

    def __init__(self, descriptor: int) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(raw, "utf-8", "backslashreplace", write_through=True)
        self._level = LEVELS[descriptor]

    def write(self, text: str, /) -> int:
        """Write the text."""
        count = super().write(text)
        if (job := current_job.get()) is not None and _logs is not None:
            _logs.write(job, self._level, text)
        return count


def standard_stream(descriptor: int) -> TextIO:
    """Return a stream to take the place of `sys.stdout` or `sys.stderr`."""
    return JobStream(descriptor)


def replace_streams() -> None:
    """Put streams of ours in their places. Call it before handlers are imported: some modules keep the stream that they find."""
    sys.stdout, sys.stderr = standard_stream(1), standard_stream(2)


def capture_for(logs: RunLogs) -> None:
    """Give `logs` what jobs print and log in this process from now on. Call it once, after the fork."""
    global _logs
    _logs = logs
    logging.getLogger().addHandler(_Handler())
    # Loggers that exist already have this very list.
    structlog.get_config()["processors"].insert(-1, _capture_event)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _add(record.levelname.lower(), lambda: _FORMAT.format(record))


_FORMAT = logging.Formatter("%(message)s")


def _capture_event(
    _logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    _add("error" if method == "exception" else method, lambda: _event_text(event, method))
    return event


def _add(level: str, make_text: Callable[[], str]) -> None:
    """Add a line to the log of the present job, if there is one."""
    if (job := current_job.get()) is not None and _logs is not None:
        with suppress(
            Exception
        ):  # arguments that do not fit the text, a broken __str__: our own log has the line
            _logs.add(job, level, make_text())


def _event_text(event: structlog.typing.EventDict, method: str) -> str:
    fields = {name: value for name, value in event.items() if name not in ("event", "exc_info")}
    text = log_text(event.get("event"), fields)
    error = event.get("exc_info", method == "exception")
    error = sys.exc_info()[1] if error is True else error
    if isinstance(error, BaseException):
        text += "\n" + "".join(traceback.format_exception(error)).rstrip()
    return text
