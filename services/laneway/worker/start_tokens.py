"""Start tokens, which decide who starts a claimed job, and the running mark, which says which one runs.

Start tokens decide who may start a job: a pipe holds one token for each job of a batch that has not started.

A pool process takes a job's token before it starts the job. The lease keeper, or the process itself, takes tokens to give
their jobs back. The kernel hands each token to exactly one reader, so a job is never both started and given back, even while
a handler holds the GIL. The tokens left in the pipe of a killed process belong to jobs that it had not started.

A running mark says which job of the batch the main thread runs at this moment, and whether its handler has begun. It is shared
memory, so it costs no system call and survives the process: the lease keeper reads which job a dead process was running.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import termios
from pathlib import Path

MAX_TOKENS = 256
_TOKEN_BYTES = 2
_STARTING, _BEGUN = 1, 2


class StartTokens:
    """One end of the pipe, a FIFO at `path`. Reading never blocks."""

    def __init__(self, path: Path, *, create: bool) -> None:
        if create:
            os.mkfifo(path, 0o600)
        self.path = path
        self._fd = os.open(path, (os.O_RDWR if create else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC)

    def fill(self, generation: int, count: int) -> None:
        """Put in the tokens of a batch: (generation, 0) to (generation, count - 1); at most MAX_TOKENS."""
        os.write(self._fd, b"".join(bytes((generation, index)) for index in range(count)))

    def take(self) -> tuple[int, int] | None:
        """Take the next token, (generation, index); None when there is none."""
        try:
            token = os.read(self._fd, _TOKEN_BYTES)
        except BlockingIOError:
            return None
        return (token[0], token[1]) if len(token) == _TOKEN_BYTES else None

    def take_all(self) -> list[tuple[int, int]]:
        """Take all tokens that are left."""
        taken = []
        while token := self.take():
            taken.append(token)
        return taken

    def left(self) -> int:
        """Return how many tokens nobody has taken."""
        size = fcntl.ioctl(self._fd, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", size)[0]) // _TOKEN_BYTES

    def close(self) -> None:
        """Close this end."""
        os.close(self._fd)


class RunningMark:
    """Three bytes in a file at `path`: whether a job runs (1) and its handler has begun (2), its generation and its index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        finally:
            os.close(descriptor)

    def set(self, generation: int, index: int) -> None:
        """Mark the job that starts now."""
        memory = self._memory
        # Byte by byte: a slice would need a new object for each job. The index first: that of the last batch is higher, and
        # beside the new generation it would say that jobs have begun which have not.
        memory[2] = index
        memory[1] = generation
        memory[0] = _STARTING

    def begin(self) -> None:
        """Say that the handler of the marked job begins now."""
        self._memory[0] = _BEGUN

    def clear(self) -> None:
        """Say that no job runs."""
        self._memory[0] = 0

    def read(self) -> tuple[int, int] | None:
        """Return (generation, index) of the job that runs, or ran when the process died; None if there is none."""
        is_set, generation, index = self._memory[0:3]
        return (generation, index) if is_set else None

    def has_begun(self, generation: int, index: int) -> bool:
        """Whether the handler of this job of a batch has begun. It may have ended, and later ones of the batch, too."""
        state, marked_generation, marked = self._memory[0:3]
        if marked_generation != generation or marked < index:
            return False
        return marked > index or state != _STARTING

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()
