"""Ties the life of a process to its parent's, for when the parent dies and nobody else would end the process."""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
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
