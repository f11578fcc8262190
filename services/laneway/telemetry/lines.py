"""Log lines: JSON objects that are never torn and never too long.

The processes of a pool share one pipe. The kernel keeps a write whole up to `PIPE_BUF` (pipe(7)), so a line has at most
`LINE_BYTES` and no write to a pipe has more. A line that would be longer loses the middle of its longest text. Nothing is
buffered, so a fork or a kill neither loses nor repeats a line. A line that cannot be written (no space, reader gone) is
dropped, because logging must not stop the service. If a handler has closed the log, lines go to standard error.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

LINE_BYTES = 4096
"""Longest line, newline included: PIPE_BUF of Linux."""
FILE_WRITE_BYTES = 65536
"""Largest write to a regular file, where the kernel keeps any write whole."""
WRITABLE_SECONDS = 5.0
"""How long a write waits for a slow reader when standard output does not block."""

_HIGH_DESCRIPTOR = 1000
"""A program that closes all its descriptors opens the low ones again, and must not write to the log. Below 1,024, or `select`
refuses it, however many files the process may open."""
_output = 1
"""Descriptor of the log."""
_CUT = " [...] "
_DEPTH = 6
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def encode(fields: Mapping[str, Any]) -> bytes:
    """Return one line of at most `LINE_BYTES`, newline included. Never raises, whatever the values are."""
    try:
        line = orjson.dumps(fields, default=repr, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
    except Exception:  # noqa: BLE001 - a broken __repr__ may raise anything
        fields = {_clean(str(key)): _plain(value) for key, value in fields.items()}
        line = orjson.dumps(fields, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
    return line if len(line) <= LINE_BYTES else _shorten(fields)


def timestamp(seconds: float | None = None) -> str:
    """Format a Unix time, by default the current one: RFC 3339, UTC, microseconds."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def reserve_output() -> None:
    """Keep this process's standard output for the log, so that something else can take the place of descriptor 1."""
    global _output
    if _output == 1:
        soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        _output = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, min(_HIGH_DESCRIPTOR, soft_limit // 2))


def is_output_writable(seconds: float) -> bool:
    """Whether the log takes a line within this time."""
    try:
        return bool(select.select([], [_output], [], seconds)[1])
    except (OSError, ValueError):  # closed
        return False


def write(lines: Sequence[bytes], fd: int | None = None) -> None:
    """Write whole lines to the log, or to `fd`, in as few calls as keep each line whole; drop what cannot be written."""
    fd = _output if fd is None else fd
    if len(lines) == 1:
        _write_all(fd, lines[0])
        return
    for chunk in _chunks(lines, _write_bytes(fd)):
        _write_all(fd, chunk)


def _shorten(fields: Mapping[str, Any]) -> bytes:
    """Cut the longest values in the middle until the line fits. Three quarters of what stays is the end: a traceback's
    last lines say most."""
    texts = {key: value if isinstance(value, str) else _text(value) for key, value in fields.items()}
    short = dict(fields)
    while True:
        line = orjson.dumps(short, default=repr, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
        if len(line) <= LINE_BYTES:
            return line
        key = max(texts, key=lambda name: len(texts[name]))
        text = texts[key]
        if len(text) <= 4 * len(_CUT):  # very many short values, not one long value
            return orjson.dumps(dict(list(short.items())[:20]), default=repr, option=_OPTIONS) + b"\n"
        keep = max(len(text) - (len(line) - LINE_BYTES) - len(_CUT), len(text) // 4)
        short[key] = texts[key] = text[: keep // 4] + _CUT + text[len(text) - (keep - keep // 4) :]


def _text(value: object) -> str:
    return orjson.dumps(value, default=repr, option=_OPTIONS).decode()


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object, depth: int = _DEPTH) -> Any:
    """Turn `value` into what JSON can hold: integers beyond 64 bits and unknown objects become text."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        return _clean(value)
    if depth and isinstance(value, Mapping):
        return {_clean(str(key)): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth - 1) for item in value]
    try:
        return value if isinstance(value, int) and value.bit_length() < 64 else _clean(repr(value))
    except Exception:  # noqa: BLE001 - any __repr__
        return f"<{type(value).__name__}>"


def _chunks(lines: Sequence[bytes], max_bytes: int) -> Iterator[bytes]:
    first = size = 0
    for position, line in enumerate(lines):
        size += len(line)
        if size > max_bytes:
            yield b"".join(lines[first:position])
            first, size = position, len(line)
    if first < len(lines):
        yield b"".join(lines[first:])


def _write_bytes(fd: int) -> int:
    try:
        return FILE_WRITE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else LINE_BYTES
    except OSError:
        return LINE_BYTES


def _write_all(fd: int, data: bytes) -> None:
    try:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                if not select.select([], [fd], [], WRITABLE_SECONDS)[1]:
                    return
    except (OSError, ValueError) as error:  # no space, reader gone, closed by a handler
        if isinstance(error, OSError) and error.errno == errno.EBADF and fd != 2:
            _write_all(2, data)
