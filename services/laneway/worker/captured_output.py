"""Turns what handlers print into events of the log: the supervisor reads the pipes that all processes of a worker print to.

A print without a line feed, a C library and a subprocess all write to descriptors 1 and 2, where they would tear the lines of the
log. So each process of a worker keeps the worker's standard output for its log alone, and puts a pipe in the place of each of the
two. The supervisor reads the pipes. The kernel keeps what a process has written, so nothing is lost when the process dies.

Each process keeps a reading end of its pipes, so that a print is no error (EPIPE) when the supervisor has died and running jobs
may still end.

A pipe holds 64 kB. A handler that prints faster than the log is read waits, as with any pipe. A log that is not read at all for
`LOG_STALLED_SECONDS` blocks nobody: what is printed from then on is dropped, and its size is logged later.
"""

from __future__ import annotations

import codecs
import os
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import structlog

from laneway.telemetry import lines
from laneway.worker import private_folder

STREAMS = {1: "stdout", 2: "stderr"}
LOG_STALLED_SECONDS = 5.0
READ_BYTES = 65536
EVENT_CHARACTERS = 3000
"""Longest text of one event. A longer line becomes several events, so that a line that never ends takes no memory."""
_EVENT_BYTES = 3600
"""Longest text as JSON, where a control character takes six bytes. The rest of a log line is for the other fields."""
_reading: dict[int, int] = {}
"""By descriptor: this process's reading end of its pipe, which is never read."""
log = structlog.get_logger()


def capture(folder: Path) -> None:
    """Send to the supervisor what this process and its subprocesses print from now on. The log stays where it is.

    Call it before the modules of handlers are imported, and again after a fork: each process has pipes of its own.
    """
    lines.reserve_output()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.connect(str(private_folder.output_path(folder)))
        for descriptor, stream in STREAMS.items():
            reading, writing = os.pipe()
            name = f"{stream} {socket.gethostname()}:{os.getpid()}"
            socket.send_fds(supervisor, [name.encode()], [reading])
            os.dup2(writing, descriptor)
            os.close(writing)
            if descriptor in _reading:
                os.close(_reading[descriptor])
            _reading[descriptor] = reading


class OutputReader:
    """Reads the pipes of all processes of a worker, and logs what comes. One per supervisor."""

    def __init__(self, folder: Path) -> None:
        self._selector = selectors.DefaultSelector()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(private_folder.output_path(folder)))
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._unfinished: set[PrintedText] = set()
        self._is_stalled = False
        self._dropped = 0

    def read(self, seconds: float) -> bool:
        """Wait up to `seconds` for output, and log it. Return whether there was any; if not, log the unfinished lines."""
        ready = self._selector.select(seconds)
        if not ready:
            while self._unfinished:
                self._log_all(self._unfinished.pop().cut())
        for key, _ in ready:
            if key.data is None:
                self._accept()
            else:
                self._read(key.fd, key.data)
        return bool(ready)

    def read_all(self) -> None:
        """Log what is left in the pipes. Call it when all processes of the worker have ended."""
        while self.read(0):
            pass

    def close(self) -> None:
        """Stop reading. Call it when nobody prints any more."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                os.close(key.fd)
        self._selector.close()
        self._socket.close()

    def _accept(self) -> None:
        name, descriptors, _, _ = socket.recv_fds(self._socket, 1024, 1)
        stream, _, worker = name.decode().partition(" ")
        for descriptor in descriptors:
            self._selector.register(descriptor, selectors.EVENT_READ, PrintedText(worker, stream))

    def _read(self, descriptor: int, text: PrintedText) -> None:
        data = os.read(descriptor, READ_BYTES)
        self._log_all(text.feed(data))
        if text.is_unfinished:
            self._unfinished.add(text)
        if not data:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _log_all(self, events: Iterator[dict[str, str | bool]]) -> None:
        for event in events:
            self._log(event)

    def _log(self, event: dict[str, str | bool]) -> None:
        if not lines.is_output_writable(0 if self._is_stalled else LOG_STALLED_SECONDS):
            self._is_stalled = True
            self._dropped += len(str(event["text"]))
            return
        self._is_stalled = False
        if self._dropped:
            log.warning("output_dropped", characters=self._dropped, reason="nobody read the log")
            self._dropped = 0
        (log.warning if event["stream"] == "stderr" else log.info)("output_captured", **event)


class PrintedText:
    """What one process prints to one stream, in the pieces in which it comes."""

    def __init__(self, worker: str, stream: str) -> None:
        self._fields = {"worker": worker, "stream": stream}
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""

    def feed(self, data: bytes) -> Iterator[dict[str, str | bool]]:
        """Return the events for the lines that have ended. Without data, the stream has ended, and so has its last line.

        A long line becomes several events. All but the last have the field `continues`.
        """
        *ended, rest = (self._rest + self._decoder.decode(data, final=not data)).split("\n")
        self._rest = rest if data else ""
        for line in ended:
            yield from self._events(line)
        if len(self._rest) > EVENT_CHARACTERS:
            yield from self.cut()
        if not data:
            yield from self._events(rest)

    @property
    def is_unfinished(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._rest)

    def cut(self) -> Iterator[dict[str, str | bool]]:
        """Return the events for the unfinished line so far."""
        rest, self._rest = self._rest, ""
        yield from self._events(rest, continues=True)

    def _events(self, line: str, *, continues: bool = False) -> Iterator[dict[str, str | bool]]:
        pieces = list(_pieces(line.rstrip("\r")))
        for number, text in enumerate(pieces, 1):
            if text:
                is_last = number == len(pieces) and not continues
                yield {**self._fields, "text": text} | ({} if is_last else {"continues": True})


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= EVENT_CHARACTERS and len(orjson.dumps(text)) <= _EVENT_BYTES:
        yield text
        return
    middle = len(text) // 2
    yield from _pieces(text[:middle])
    yield from _pieces(text[middle:])
