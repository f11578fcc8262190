"""Tames copies of a pool process: `multiprocessing` forks, and a handler may fork and return in both copies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


class ForkGuard:
    """Knows whether this process is a copy that a handler made. `on_fork` is called in the copy, right after the fork.

    SIGTERM ends a copy, as `multiprocessing` expects. Celery's own handler raises SystemExit instead, which may be swallowed.
    """

    def __init__(self, on_fork: Callable[[], None]) -> None:
        self._is_copy = False
        self._on_fork = on_fork
        os.register_at_fork(
            before=lambda: _mask_sigterm(signal.SIG_BLOCK),
            after_in_parent=lambda: _mask_sigterm(signal.SIG_UNBLOCK),
            after_in_child=self._mark,
        )

    def _mark(self) -> None:
        self._is_copy = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _mask_sigterm(signal.SIG_UNBLOCK)
        self._on_fork()

    def end_copy(self) -> None:
        """End this process if it is a copy. Call it wherever a handler returns."""
        if self._is_copy:
            os._exit(0)


def _mask_sigterm(how: int) -> None:
    signal.pthread_sigmask(how, {signal.SIGTERM})
