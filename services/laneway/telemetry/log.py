"""Logs: one JSON object a line on standard output, whoever logs (structlog, uvicorn, gunicorn, celery, kopf, warnings).

Lines are never torn, though the processes of a pool share one pipe: a line has at most `LINE_BYTES` and every write to a
pipe at most that, which the kernel keeps whole (pipe(7), PIPE_BUF). A longer line loses the middle of its longest text.
Nothing is buffered, so nothing is lost or doubled by a fork or a kill. A log that cannot be written (no space, reader gone)
is dropped: it must not stop the service.

Fields: `ts` (RFC 3339, UTC, microseconds), `level`, `service`, `event`, and what the caller adds: `job_id`, `user`, `type`,
`attempt`, `duration_ms`, `worker` where they apply.
"""

from __future__ import annotations

import logging
import logging.config
import os
import select
import stat
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any

import orjson
import structlog

LINE_BYTES = 4096
"""Longest line, newline included: PIPE_BUF of Linux."""
FILE_WRITE_BYTES = 65536
"""Largest write to a regular file, where the kernel keeps any write whole."""
WRITABLE_SECONDS = 5.0
"""How long a write may wait when standard output does not block and its reader is behind."""

JOB_EVENTS: Mapping[str, int] = MappingProxyType(
    {
        "accepted": logging.INFO,
        "started": logging.INFO,
        "succeeded": logging.INFO,
        "cancelled": logging.INFO,
        "retried": logging.WARNING,
        "failed": logging.WARNING,
    }
)
"""The events of a job and their levels."""

_CUT = " [...] "
_DEPTH = 6
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
_CHATTY = ("asyncio", "pymongo")  # at DEBUG they log every poll and every command


def configure(service: str, level: str) -> None:
    """Send the logs of this process to standard output; call it once, first thing in a root.

    `service` is "api", "worker", "operator" or "local". Handlers set up before are taken away, so kopf's go too when the
    operator calls it. Celery must be kept from configuring logs itself: connect something to its `setup_logging` signal.
    Gunicorn configures its own loggers after this call: give it `logconfig_dict=logging_config(service, level)`.
    """
    logging.config.dictConfig(logging_config(service, level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _Render(service)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def logging_config(service: str, level: str) -> dict[str, Any]:
    """The standard library's part, as `dictConfig` and gunicorn's `logconfig_dict` take it. Access logs are off."""
    through = {"handlers": [], "propagate": True}
    off = {"handlers": [], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {},
        "handlers": {"lines": {"()": LineHandler, "service": service}},
        "root": {"handlers": ["lines"], "level": level},
        "loggers": {
            "celery": through,
            "uvicorn": through,
            "uvicorn.error": through,
            # uvicorn's worker class copies the handlers of this one and stops propagation
            "gunicorn.error": {"handlers": ["lines"], "propagate": False, "level": level},
            "uvicorn.access": off,
            "gunicorn.access": off,
            **({name: {"level": "INFO"} for name in _CHATTY} if level == "DEBUG" else {}),
        },
    }


class LineHandler(logging.Handler):
    """Writes records of the standard library's loggers as lines."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {
                "ts": _timestamp(record.created),
                "level": record.levelname.lower(),
                "service": self._service,
                "event": _message(record),
                "logger": record.name,
            }
            if hasattr(record, "k8s_ref"):  # kopf says so which object a line is about
                fields["object"] = f"{record.k8s_ref.get('namespace')}/{record.k8s_ref.get('name')}"
            if record.exc_info and record.exc_info[0]:
                fields["exception"] = "".join(traceback.format_exception(*record.exc_info))
            _write(1, encode(fields))
        except Exception:  # noqa: BLE001 - whatever a record holds, logging it must not raise
            self.handleError(record)


class JobLog:
    """The job events, millions of them: the same lines as a structlog logger writes, at 1 to 2 us each.

    The lines of one call carry one `ts`, the time of the call.
    """

    def __init__(self, service: str, level: str, *, worker: str | None = None, fd: int = 1) -> None:
        """`worker` names the process that serves the jobs; `fd` is where lines go, standard output by default."""
        threshold = logging.getLevelNamesMapping()[level]
        fields = {"service": service} | ({"worker": worker} if worker else {})
        self._fixed = {
            event: b'Z","level":"%b",%b,'
            % (logging.getLevelName(number).lower().encode(), encode(fields)[1:-2])
            for event, number in JOB_EVENTS.items()
            if number >= threshold
        }
        self._fd = fd

    def wants(self, event: str) -> bool:
        """Whether lines of this event are written at all; spares the caller from collecting them."""
        return event in self._fixed

    def write(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Write a batch in as few calls as keep lines whole. Each has an "event" of `JOB_EVENTS` and no "ts", "level",
        "service" or "worker"."""
        now = b'{"ts":"' + datetime.now(UTC).isoformat(timespec="microseconds")[:26].encode()
        fixed, dumps, lines = self._fixed, orjson.dumps, []
        for fields in events:
            start = fixed.get(fields["event"])
            if start is None:
                continue
            try:
                line = b"%b%b%b\n" % (now, start, dumps(fields)[1:])
            except TypeError:
                line = b""
            if not line or len(line) > LINE_BYTES:
                line = encode(orjson.loads(now + start[:-1] + b"}") | dict(fields))
            lines.append(line)
        for chunk in _chunks(lines, _write_bytes(self._fd)):
            _write(self._fd, chunk)


def encode(fields: Mapping[str, Any]) -> bytes:
    """One line, newline included, at most `LINE_BYTES`; whatever the values are, it does not raise."""
    try:
        line = orjson.dumps(fields, default=repr, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
    except Exception:  # noqa: BLE001 - a broken __repr__ may raise anything
        fields = {_clean(str(key)): _plain(value) for key, value in fields.items()}
        line = orjson.dumps(fields, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
    return line if len(line) <= LINE_BYTES else _shorten(fields)


def _shorten(fields: Mapping[str, Any]) -> bytes:
    """Cut the longest values in the middle until the line fits; a traceback's end says most, so more of it stays."""
    texts = {key: value if isinstance(value, str) else _text(value) for key, value in fields.items()}
    short = dict(fields)
    while True:
        line = orjson.dumps(short, default=repr, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE)
        if len(line) <= LINE_BYTES:
            return line
        key = max(texts, key=lambda name: len(texts[name]))
        text = texts[key]
        if len(text) <= 4 * len(_CUT):  # not one long value but very many
            return orjson.dumps(dict(list(short.items())[:20]), default=repr, option=_OPTIONS) + b"\n"
        keep = max(len(text) - (len(line) - LINE_BYTES) - len(_CUT), len(text) // 4)
        short[key] = texts[key] = text[: keep // 4] + _CUT + text[len(text) - (keep - keep // 4) :]


def _text(value: object) -> str:
    return orjson.dumps(value, default=repr, option=_OPTIONS).decode()


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object, depth: int = _DEPTH) -> Any:
    """What JSON can hold and says most of `value`: numbers beyond 64 bits and unknown objects become text."""
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


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the text
        return f"{record.msg} {record.args!r}"


class _Render:
    """structlog's last processor: an event's fields to a line."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: object, method: str, fields: structlog.typing.EventDict) -> bytes:
        error = fields.pop("exc_info", None)
        if error is True or (error is None and method == "exception"):
            error = sys.exc_info()
        if isinstance(error, BaseException):
            error = (type(error), error, error.__traceback__)
        if error and error[0]:
            fields["exception"] = "".join(traceback.format_exception(*error))
        level = "error" if method == "exception" else method
        now = datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"
        event = fields.pop("event", None)
        return encode({"ts": now, "level": level, "service": self._service, "event": event, **fields})


class _LineLogger:
    """structlog's lowest logger."""

    def __init__(self, *_names: object) -> None:
        pass

    def msg(self, line: bytes) -> None:
        _write(1, line)

    debug = info = warning = error = exception = critical = msg


def _chunks(lines: list[bytes], most: int) -> Iterator[bytes]:
    """The lines, joined to pieces of at most `most` bytes."""
    first = size = 0
    for position, line in enumerate(lines):
        size += len(line)
        if size > most:
            yield b"".join(lines[first:position])
            first, size = position, len(line)
    if first < len(lines):
        yield b"".join(lines[first:])


def _write_bytes(fd: int) -> int:
    try:
        return FILE_WRITE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else LINE_BYTES
    except OSError:
        return LINE_BYTES


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                if not select.select([], [fd], [], WRITABLE_SECONDS)[1]:
                    return
    except (OSError, ValueError):  # no space, reader gone, closed by a handler
        return


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else None
        structlog.get_logger().critical(
            "uncaught exception", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
        )
