"""Ends copies of a pool process: a handler may fork, and both copies may return from it."""

from __future__ import annotations

import os
from collections.abc import Callable


class ForkGuard:
    """Knows whether this process is a copy that a handler made. `on_fork` is called in the copy, right after the fork."""

    def __init__(self, on_fork: Callable[[], None]) -> None:
        self._is_copy = False
        self._on_fork = on_fork
        os.register_at_fork(after_in_child=self._mark)

    def _mark(self) -> None:
        self._is_copy = True
        self._on_fork()

    def end_copy(self) -> None:
        """End this process if it is a copy. Call it wherever a handler returns."""
        if self._is_copy:
            os._exit(0)
