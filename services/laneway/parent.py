"""A process that ends when its parent does, however that came about: nobody else may be there to end it."""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(number: int, parent: int) -> None:
    """Have the kernel send signal `number` to this process when its parent dies; nothing on systems without that.

    Call it in the child, right after the fork. `parent` is the parent's process id, as known before the fork: should the
    parent have died since, the signal comes now. What counts as the parent is the *thread* that forked.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
