"""A handler may fork, and both may come back: the copy must not go on as if it were the worker."""

from __future__ import annotations

import os
from collections.abc import Callable


class ForkGuard:
    """Knows whether this process is a copy that a handler made. `on_copy` is called in the copy, right after the fork."""

    def __init__(self, on_copy: Callable[[], None]) -> None:
        self._is_copy = False
        self._on_copy = on_copy
        os.register_at_fork(after_in_child=self._mark)

    def _mark(self) -> None:
        self._is_copy = True
        self._on_copy()

    def end_copy(self) -> None:
        """In a copy, end it; called wherever a handler's work is over."""
        if self._is_copy:
            os._exit(0)
