"""The types that this system knows, with their handlers and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Defaults:
    """The options of handlers that set none. Times are seconds; `time_limit_seconds` 0 means no limit."""

    max_attempts: int = 3
    backoff_seconds: float = 1
    backoff_max_seconds: float = 300
    time_limit_seconds: float = 0


DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True)
class Spec:
    """One type: its handler and options. Times are seconds; None means no limit."""

    type: str
    function: Callable[..., Any]
    is_async: bool
    wants_context: bool
    max_attempts: int
    backoff_seconds: float
    backoff_max_seconds: float
    soft_seconds: float | None
    hard_seconds: float | None


@dataclass(frozen=True, slots=True)
class Registry:
    """All types by name, and what each worker process runs before its first job."""

    types: Mapping[str, Spec] = field(default_factory=lambda: MappingProxyType({}))
    start_hooks: tuple[Callable[[], Any], ...] = ()

    def get(self, type_: str) -> Spec | None:
        """Return the type's handler, None if there is none."""
        return self.types.get(type_)

    def run_start_hooks(self, run_async: Callable[[Coroutine[Any, Any, Any]], object]) -> None:
        """Run the start hooks in order; `run_async` runs those that are async, to their ends."""
        for hook in self.start_hooks:
            result = hook()
            if inspect.iscoroutine(result):
                run_async(result)
