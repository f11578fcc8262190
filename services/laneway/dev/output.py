"""Where the children's lines go: all of them to the log file, the interesting ones to the terminal."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from laneway.dev.log_file import LogFile
from laneway.dev.terminal import Terminal
from laneway.telemetry.job_events import JOB_EVENTS
from laneway.telemetry.lines import encode, timestamp

MAX_LINE_BYTES = 1024 * 1024
"""What a child may print without a line feed before the text is cut."""
SERVERS = ("valkey", "mongo")
"""Children whose lines go to the log file only: what matters about them is whether they run."""

_JOB_MARKS = [(event, b'"event":"%b"' % event.encode()) for event in JOB_EVENTS]
_OURS = b'{"ts":"'
_VALKEY = re.compile(r"^\d+:(?:[A-Z] \d+ \w+ \d{4} [\d:.]+ (?P<mark>[.*#-]) )?")


class Output:
    """The log file and the terminal together."""

    def __init__(self, file: LogFile, terminal: Terminal) -> None:
        self.file, self.terminal = file, terminal

    def log(self, level: str, event: str, **fields: object) -> None:
        """Write a line of `laneway dev` itself to both."""
        line = encode({"ts": timestamp(), "level": level, "service": "dev", "event": event, **fields})
        self.file.write(line)
        self.terminal.show(line)


class ChildOutput:
    """What one child prints, in the pieces in which it comes."""

    def __init__(self, child: str, output: Output) -> None:
        self._child, self._output = child, output
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Write the whole lines in `data` and keep the rest until its end comes."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > MAX_LINE_BYTES:
            data, end = data + b"\n", len(data) + 1
        self._rest = data[end:]
        if lines := data[:end]:
            self._write(lines)

    def close(self) -> None:
        """Write the unfinished line of a child that has ended."""
        if self._rest:
            self._write(self._rest + b"\n")
            self._rest = b""

    def _write(self, lines: bytes) -> None:
        jobs = 0
        for event, mark in _JOB_MARKS:
            if number := lines.count(mark):
                jobs += number
                self._output.terminal.count(event, number)
        if jobs != lines.count(
            b"\n"
        ):  # a chunk of job events alone, the common case, passes without a look at each line
            lines = b"".join(self._one(line) for line in lines.splitlines(keepends=True))
        self._output.file.write(lines)

    def _one(self, line: bytes) -> bytes:
        if not line.startswith(_OURS):
            return self._foreign(line.decode(errors="backslashreplace").rstrip())
        if not any(mark in line for _, mark in _JOB_MARKS):
            with suppress(
                ValueError, LookupError, TypeError
            ):  # a handler's line that only begins like one of ours
                self._output.terminal.show(line)
        return line

    def _foreign(self, text: str) -> bytes:
        """Make a log line of what no logger wrote: an embedded server, a program whose log is not set up, a handler's print."""
        if not text:
            return b""
        level = "warning"
        if self._child in SERVERS:
            valkey = _VALKEY.match(text)
            level = "warning" if valkey and valkey["mark"] == "#" else "info"
            text = text[valkey.end() :] if valkey else text
        else:
            self._output.terminal.say_foreign(f"{self._child}: {text}")
        return encode({"ts": timestamp(), "level": level, "service": self._child, "event": text})


def new_pipe() -> tuple[int, int]:
    """Return a pipe for a child's output, with room for a burst of job events. Its reading end does not block."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with suppress(OSError, ImportError):  # Linux only, and the limit may be lower
        import fcntl  # noqa: PLC0415

        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, MAX_LINE_BYTES)
    return reading, writing
