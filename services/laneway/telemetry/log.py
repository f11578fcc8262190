"""Configures logging: one JSON object a line on standard output, whoever logs (structlog, uvicorn, gunicorn, celery, kopf,
warnings).

Fields: `ts` (RFC 3339, UTC, microseconds), `level`, `service`, `event`, and what the caller adds: `job_id`, `user`, `type`,
`attempt`, `duration_ms`, `worker`, `request_id` where they apply. How lines stay whole: `laneway.telemetry.lines`.
"""

from __future__ import annotations

import logging
import logging.config
import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

import structlog

from laneway.telemetry import lines, request_id

_CHATTY = ("asyncio", "pymongo")  # at DEBUG they log every poll and every command


def configure(service: str, level: str) -> None:
    """Send the logs of this process to standard output. Call it once, first thing in a program.

    `service` is "api", "worker" or "operator". Handlers that were set up before are removed, kopf's too when the
    operator calls this. Celery must be kept from configuring logging itself: connect a receiver to its `setup_logging`
    signal. Gunicorn configures its own loggers after this call: give it `logconfig_dict=logging_config(service, level)`.
    """
    _open_standard_descriptors()
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


def _open_standard_descriptors() -> None:
    """Open /dev/null for those of 0 to 2 that are closed: otherwise a socket would get the number 1, and the log's lines."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def logging_config(service: str, level: str) -> dict[str, Any]:
    """Return the standard library's part, as `dictConfig` and gunicorn's `logconfig_dict` take it. Access logs are off."""
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
            # uvicorn's worker class copies this logger's handlers and stops propagation
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
        """Write the record as one line. Never raises, whatever the record holds."""
        try:
            fields = {
                "ts": lines.timestamp(record.created),
                "level": record.levelname.lower(),
                "service": self._service,
                "event": _message(record),
                "logger": record.name,
                **request_id.fields(),
            }
            if hasattr(record, "k8s_ref"):  # kopf names the object that the record is about
                fields["object"] = f"{record.k8s_ref.get('namespace')}/{record.k8s_ref.get('name')}"
            if record.exc_info and record.exc_info[0]:
                fields["exception"] = "".join(traceback.format_exception(*record.exc_info))
            lines.write([lines.encode(fields)])
        except Exception:  # noqa: BLE001 - see the docstring
            self.handleError(record)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the text
        return f"{record.msg} {record.args!r}"


class _Render:
    """structlog's last processor: turns an event's fields into a line."""

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
        event = fields.pop("event", None)
        return lines.encode(
            {
                "ts": lines.timestamp(),
                "level": level,
                "service": self._service,
                "event": event,
                **request_id.fields(),
                **fields,
            }
        )


class _LineLogger:
    """structlog's innermost logger: writes the finished line."""

    def __init__(self, *_names: object) -> None:
        pass

    def msg(self, line: bytes) -> None:
        lines.write([line])

    debug = info = warning = error = exception = critical = msg


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("exception_uncaught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else None
        structlog.get_logger().critical(
            "exception_uncaught", thread=name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
        )
