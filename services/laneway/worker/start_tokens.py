"""Who may start a claimed job: a pipe that holds one record for each job of a batch that has not been started.

A pool process takes a record before it starts that job; the lease keeper, or the process itself, takes records to give their
jobs back. The kernel hands each record to exactly one reader, so a job is never both started and given back, even while a
handler holds the interpreter; and what is left in the pipe of a killed process is what it had not started.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from pathlib import Path

MAX_RECORDS = 256
_RECORD = 2


class StartTokens:
    """One end of the pipe, which is a FIFO at `path`. Reading never blocks."""

    def __init__(self, path: Path, *, create: bool) -> None:
        if create:
            os.mkfifo(path, 0o600)
        self.path = path
        self._fd = os.open(path, (os.O_RDWR if create else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC)

    def fill(self, generation: int, count: int) -> None:
        """Put in the records of a batch: (generation, 0) to (generation, count - 1); at most MAX_RECORDS."""
        os.write(self._fd, b"".join(bytes((generation, index)) for index in range(count)))

    def take(self) -> tuple[int, int] | None:
        """The next record, (generation, index); None when there is none."""
        try:
            record = os.read(self._fd, _RECORD)
        except BlockingIOError:
            return None
        return (record[0], record[1]) if len(record) == _RECORD else None

    def take_all(self) -> list[tuple[int, int]]:
        """All records that are left."""
        taken = []
        while record := self.take():
            taken.append(record)
        return taken

    def left(self) -> int:
        """How many records nobody has taken."""
        size = fcntl.ioctl(self._fd, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", size)[0]) // _RECORD

    def close(self) -> None:
        os.close(self._fd)
