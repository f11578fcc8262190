"""The terminal of `laneway dev`: a short form of the log for a person. Job events are counted, not shown."""

from __future__ import annotations

import re
import select
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO

import orjson
from rich.console import Console
from rich.text import Text

from laneway.telemetry.job_events import JOB_EVENTS

TALLY_SECONDS = 5.0
"""Time between two counts of jobs. One line for each job would hide everything else."""
MAX_CHARACTERS = 1000
"""Longest line. A pipe that accepts a write at all accepts this much."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_STYLES = {"warning": "yellow", "error": "bold red", "critical": "bold red", "debug": "dim"}


class Terminal:
    """Shows log lines, and counts of job events."""

    def __init__(self) -> None:
        self._console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._jobs: dict[str, int] = {}
        self._next_tally = 0.0

    def show(self, line: bytes) -> None:
        """Show a line of the log, unless it is what a library says in passing."""
        fields: dict[str, Any] = orjson.loads(line)
        if fields.pop("logger", None) and fields["level"] in {"debug", "info"}:
            return
        local_time = datetime.fromisoformat(fields.pop("ts")).astimezone().strftime("%H:%M:%S")
        service, level, event = (fields.pop(name, "") for name in ("service", "level", "event"))
        if event == "output_captured":
            self.say_foreign(f"{service}: {fields['text']}")
            return
        if exception := fields.pop("exception", None):
            fields["error"] = str(exception).strip().rsplit("\n", 1)[-1]
        style = _STYLES.get(str(level), "")
        details = "".join(f" {name}={value}" for name, value in fields.items())
        self._print(
            (f"{local_time} {service:<6} ", "dim"),
            (f"{level:<8} ", style),
            (str(event).partition("\n")[0], style or "bold"),
            (details, ""),
        )

    def say(self, text: str) -> None:
        """Show text of our own, line feeds included."""
        self._write(Text(text[:MAX_CHARACTERS]))

    def say_foreign(self, text: str) -> None:
        """Show text that somebody else wrote, as one line."""
        self._print((text, ""))

    def count(self, event: str, jobs: int) -> None:
        """Count job events for the next tally."""
        self._jobs[event] = self._jobs.get(event, 0) + jobs

    def tally(self) -> None:
        """Show the counts, at most every TALLY_SECONDS and only if there are any."""
        now = time.monotonic()
        if self._jobs and now >= self._next_tally:
            self._next_tally = now + TALLY_SECONDS
            counts = ", ".join(
                f"{self._jobs[event]:,} {event}" for event in JOB_EVENTS if event in self._jobs
            )
            self._jobs.clear()
            local_time = datetime.now().astimezone()
            self._print((f"{local_time:%H:%M:%S} jobs            ", "dim"), (counts, "green"))

    def _print(self, *parts: tuple[str, str]) -> None:
        """Show one line, whatever is in it: users' data may be, and must not command the terminal."""
        line = Text()
        for text, style in parts:
            line.append(_visible(text[:MAX_CHARACTERS]), style)
        line.truncate(MAX_CHARACTERS)
        self._write(line)

    def _write(self, text: Text) -> None:
        """Write, or drop what the terminal does not accept at once: a halted one (Ctrl-S) would hold up everything."""
        with self._console.capture() as captured:
            self._console.print(text)
        with suppress(OSError):  # nobody reads it any more
            if _accepts(sys.stdout):
                sys.stdout.write(captured.get())
                sys.stdout.flush()


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _accepts(stream: TextIO) -> bool:
    """Whether a short write would not block."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except ValueError:  # no file
        return True
