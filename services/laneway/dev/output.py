"""Where the children's lines go: all of them to the log file, what a person wants to see to the terminal."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson

from laneway.telemetry.job_events import JOB_EVENTS
from laneway.telemetry.lines import encode

FILE_BYTES = 64 * 1024 * 1024
"""Size at which the log file is put aside."""
FILES_KEPT = 9
"""Files put aside: `<name>.1` is the newest. With the current one the logs take at most 640 MB."""
TALLY_SECONDS = 5.0
"""How often the terminal tells how many jobs there were; one line a job would hide all else."""
LINE_LIMIT_BYTES = 1024 * 1024
"""What a child may print without a newline before it is cut."""

SAY_CHARACTERS = 1000
"""Of one line for the terminal; a pipe that takes anything at all takes that."""

SERVERS = ("valkey", "mongo")
"""Children whose lines are for the log file only: what matters of them is whether they run."""

_JOB_MARKS = [(event, b'"event":"%b"' % event.encode()) for event in JOB_EVENTS]
_OURS = b'{"ts":"'
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_VALKEY = re.compile(r"^\d+:(?:[A-Z] \d+ \w+ \d{4} [\d:.]+ (?P<mark>[.*#-]) )?")


class LogFile:
    """A file that is put aside when it has grown. One process writes it, whole lines at a time."""

    def __init__(self, path: Path, *, file_bytes: int = FILE_BYTES, files_kept: int = FILES_KEPT) -> None:
        self.path = path
        self._file_bytes, self._files_kept = file_bytes, files_kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)
        self._size = self.path.stat().st_size

    def write(self, lines: bytes) -> None:
        """Whole lines. What a full disk does not take is lost: the jobs must go on."""
        if self._size and self._size + len(lines) > self._file_bytes:
            self._put_aside()
        with suppress(OSError):
            self._size += self._file.write(lines) or 0

    def _put_aside(self) -> None:
        """Whatever somebody has done to the files: it goes on in a new one, or else in the old one."""
        for number in range(self._files_kept - 1, 0, -1):
            with suppress(OSError):
                self._numbered(number).replace(self._numbered(number + 1))
        old = self._file
        with suppress(OSError):
            self.path.replace(self._numbered(1))
        try:
            self._open()
            old.close()
        except OSError:
            self._size = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def close(self) -> None:
        self._file.close()


class Terminal:
    """A short form of the lines for a person: job events are counted, what the libraries tell without need is left out."""

    def __init__(self) -> None:
        self._jobs: dict[str, int] = {}
        self._next_tally = 0.0

    def show(self, line: bytes) -> None:
        fields: dict[str, Any] = orjson.loads(line)
        if fields.pop("logger", None) and fields["level"] in {"debug", "info"}:
            return
        local_time = datetime.fromisoformat(fields.pop("ts")).astimezone().strftime("%H:%M:%S")
        service, level, event = (fields.pop(name, "") for name in ("service", "level", "event"))
        if exception := fields.pop("exception", None):
            fields["error"] = str(exception).strip().rsplit("\n", 1)[-1]
        rest = "".join(f" {name}={value}" for name, value in fields.items())
        self.say(_visible(f"{local_time} {service:<6} {level:<8} {str(event).partition(chr(10))[0]}{rest}"))

    def say(self, text: str) -> None:
        """What a terminal does not take at once is lost: it may have been halted (Ctrl-S), and all would wait for it."""
        with suppress(OSError):  # nobody reads it any more
            if _takes(sys.stdout):
                sys.stdout.write(text[:SAY_CHARACTERS] + "\n")
                sys.stdout.flush()

    def count(self, event: str, jobs: int) -> None:
        self._jobs[event] = self._jobs.get(event, 0) + jobs

    def tally(self) -> None:
        """Tell the counts, if there are any and it is time."""
        now = time.monotonic()
        if self._jobs and now >= self._next_tally:
            self._next_tally = now + TALLY_SECONDS
            counts = ", ".join(
                f"{self._jobs[event]:,} {event}" for event in JOB_EVENTS if event in self._jobs
            )
            self._jobs.clear()
            self.say(f"{datetime.now().astimezone():%H:%M:%S} jobs            {counts}")


class Output:
    """The log file and the terminal together."""

    def __init__(self, file: LogFile, terminal: Terminal) -> None:
        self.file, self.terminal = file, terminal

    def log(self, level: str, event: str, **fields: object) -> None:
        """A line of `laneway dev` itself."""
        line = encode({"ts": _now(), "level": level, "service": "local", "event": event, **fields})
        self.file.write(line)
        self.terminal.show(line)


class Pump:
    """Takes what one child prints, in pieces as they come."""

    def __init__(self, child: str, output: Output) -> None:
        self._child, self._output = child, output
        self._rest = b""

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > LINE_LIMIT_BYTES:
            data, end = data + b"\n", len(data) + 1
        self._rest = data[end:]
        if lines := data[:end]:
            self._lines(lines)

    def close(self) -> None:
        """The child has ended: an unfinished line is one."""
        if self._rest:
            self._lines(self._rest + b"\n")
            self._rest = b""

    def _lines(self, lines: bytes) -> None:
        jobs = 0
        for event, mark in _JOB_MARKS:
            if number := lines.count(mark):
                jobs += number
                self._output.terminal.count(event, number)
        if jobs != lines.count(b"\n"):  # millions of job events pass without being looked at one by one
            lines = b"".join(self._one(line) for line in lines.splitlines(keepends=True))
        self._output.file.write(lines)

    def _one(self, line: bytes) -> bytes:
        if not line.startswith(_OURS):
            return self._foreign(line.decode(errors="backslashreplace").rstrip())
        if not any(mark in line for _, mark in _JOB_MARKS):
            with suppress(ValueError, LookupError, TypeError):  # a handler's, which only begins like ours
                self._output.terminal.show(line)
        return line

    def _foreign(self, text: str) -> bytes:
        """A line that no logger wrote: of an embedded server, or of a program that ends before logs are set up."""
        if not text:
            return b""
        level = "warning"
        if self._child in SERVERS:
            valkey = _VALKEY.match(text)
            level = "warning" if valkey and valkey["mark"] == "#" else "info"
            text = text[valkey.end() :] if valkey else text
        else:
            self._output.terminal.say(_visible(f"{self._child}: {text}"))
        return encode({"ts": _now(), "level": level, "service": self._child, "event": text})


def _visible(text: str) -> str:
    """One line, whatever is in it: what users send may be among it, and must not command the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _takes(stream: TextIO) -> bool:
    """Whether a short write would not block."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except ValueError:  # no file
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def new_pipe() -> tuple[int, int]:
    """A pipe for a child's output, with room for a burst of job events; its reading end does not block."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with suppress(OSError, ImportError):  # Linux; the limit may be lower
        import fcntl  # noqa: PLC0415

        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, LINE_LIMIT_BYTES)
    return reading, writing
