"""The condition of a pool process, which handlers may change: its working folder, its umask, its descriptors, the seed of `random`.

A descriptor 1 that a handler has closed is the next one that the kernel gives out: for a connection to Redis, say. What another
job prints would go there.
"""

from __future__ import annotations

import errno
import os
import sys

from laneway.compat.random import SeedWatch
from laneway.worker.pool.job_output import standard_stream

RESERVED_DESCRIPTORS = 8
"""Kept for us: without descriptors nobody can connect to Redis again, to record what has ended."""


class Condition:
    """Remembers how the process has started. One per process."""

    def __init__(self, seeds: SeedWatch) -> None:
        self._seeds = seeds
        self._folder = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._output, self._errors = os.dup(1), os.dup(2)
        self._reserve = [os.dup(self._folder) for _ in range(RESERVED_DESCRIPTORS)]
        self.is_starved = False
        """The process has had no descriptor left. It is so for good, since handlers leak them."""

    def restore(self) -> None:
        """Restore the working folder, the umask and the standard streams, and seed `random` again if a job has set its seed.

        Call it after each plain job: it takes 1.1 µs.
        """
        os.fchdir(self._folder)
        os.umask(self._umask)
        self._seeds.restore()
        os.dup2(self._output, 1)
        os.dup2(self._errors, 2)
        if sys.stdout.closed:
            sys.stdout = standard_stream(1)
        if sys.stderr.closed:
            sys.stderr = standard_stream(2)

    def look_for_descriptor(self) -> None:
        """Notice that there is no descriptor left, and free the reserve."""
        try:
            os.close(os.dup(self._folder))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.is_starved = True
            while self._reserve:
                os.close(self._reserve.pop())
