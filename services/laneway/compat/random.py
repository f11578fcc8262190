"""What we need from inside `random`.

| entry | needs | why | upstream |
|---|---|---|---|
| `SeedWatch` | `random.seed` and `random.setstate` can be replaced | a seed that one job sets would give the jobs after it numbers that its user can predict, and seeding again after each job takes 35 µs | no issue known |
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import wraps
from typing import Any


class SeedWatch:
    """Notices that somebody has set the state of `random`'s own generator. Make it before handlers are imported."""

    def __init__(self) -> None:
        self._is_set = False
        for name in ("seed", "setstate"):
            vars(random)[name] = self._noticed(vars(random)[name])

    def restore(self) -> None:
        """Draw a new seed from the system if the state was set since the last call."""
        if self._is_set:
            random.seed()
            self._is_set = False

    def _noticed(self, function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def noticed(*arguments: Any, **named: Any) -> None:
            self._is_set = True
            function(*arguments, **named)

        return noticed
