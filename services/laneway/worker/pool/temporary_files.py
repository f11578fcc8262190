"""Temporary files of handlers: each job has a folder of its own, which goes when the job ends.

`tempfile` finds the folder by the job's context, so jobs that overlap have different ones. It is made when it is first asked for:
most jobs need none. A subprocess finds the folder of the pool process in TMPDIR; that one is emptied whenever nothing runs here.
When the process dies, the lease keeper removes it with everything in it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

from laneway.compat.tempfile import set_default_folder
from laneway.lanes.model import Lease
from laneway.worker.pool.current_job import current_job


class TemporaryFiles:
    """One per process. `folder` is made, and belongs to the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, Path] = {}
        """The folders of jobs, by the identity of the job's lease."""
        self._numbers = count()
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self._changed_ns = self._modified_ns()
        os.environ["TMPDIR"] = str(folder)
        set_default_folder(self._current)

    def begin(self, lease: Lease) -> None:
        """Let this context, and those that are copied from it, belong to a job."""
        current_job.set(lease)

    def end(self, lease: Lease) -> None:
        """Remove the folder of a job that has ended, if it has one."""
        if self._made and (made := self._made.pop(id(lease), None)):
            shutil.rmtree(made, ignore_errors=True)

    def has_folder(self, lease: Lease) -> bool:
        """Whether `end` has something to remove, which may take a while."""
        return id(lease) in self._made

    def empty(self) -> None:
        """Remove what is left in the folder of the process. Call it while nothing runs here."""
        if self._modified_ns() == self._changed_ns:
            return
        self._made.clear()
        for entry in self._folder.glob("*"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()
        self._changed_ns = self._modified_ns()

    def _current(self) -> str:
        lease = current_job.get()
        if lease is None:  # a thread that a handler has started does not belong to a job
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            return str(self._folder)
        made = self._made.get(id(lease))
        if made is None:
            made = self._made[id(lease)] = self._folder / f"job-{next(self._numbers)}"
        made.mkdir(0o700, parents=True, exist_ok=True)
        return str(made)

    def _modified_ns(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:  # a handler has removed it
            return 0
