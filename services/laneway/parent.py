"""Ties the lives of processes together, for when a parent dies and nobody else would end what it has started. Linux only."""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(number: int, parent: int) -> None:
    """Have the kernel send signal `number` to this process when its parent dies. Does nothing where it is not Linux.

    Call it in the child, right after the fork. `parent` is the parent's process id from before the fork: if the parent has died
    since, the signal comes now. For the kernel, the parent is the *thread* that forked.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of every descendant that loses its own. Does nothing where it is not Linux."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
