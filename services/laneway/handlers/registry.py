"""The types that this system knows, with their handlers and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from laneway.handlers.limits import TypeLimits
from laneway.handlers.schemas import PayloadSchema, ResultSchema


@dataclass(frozen=True, slots=True)
class Defaults:
    """The options of handlers that set none. Times are seconds; `time_limit_seconds` 0 means no limit."""

    max_attempts: int = 3
    backoff_seconds: float = 1
    backoff_max_seconds: float = 300
    time_limit_seconds: float = 0


DEFAULTS = Defaults()


@dataclass(frozen=True, slots=True)
class Room:
    """How many jobs of a type one process runs at once; `free` returns how many more may start in it now."""

    at_once: int
    free: Callable[[], int]


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
    description: str = ""
    limits: TypeLimits | None = None
    """Over all workers and users. None: the type has none, and its jobs need no permit."""
    takes: PayloadSchema | None = None
    """None: any JSON, handed over as it is."""
    room: Room | None = None
    """Limit of an async type for each process. None: only the process's own limit."""
    gives: ResultSchema | None = None
    """None: any JSON, stored as it is."""

    def payload(self, text: bytes) -> Any:
        """Return the payload in this JSON text as the handler takes it. Raises InvalidPayload."""
        return orjson.loads(text) if self.takes is None else self.takes.read(text)

    def result(self, value: Any) -> Any:
        """Return the handler's result, validated and converted to JSON types if it has an annotation. Raises InvalidResult."""
        return value if self.gives is None else self.gives.dump(value)


Hook = Callable[[], Any]
"""A function without parameters, plain or async, for the start or the end of a worker process."""


@dataclass(frozen=True, slots=True)
class Registry:
    """All types by name, and what each worker process runs before its first job and after its last one."""

    types: Mapping[str, Spec] = field(default_factory=lambda: MappingProxyType({}))
    start_hooks: tuple[Hook, ...] = ()
    stop_hooks: tuple[Hook, ...] = ()
    """In the order in which they are defined. They run in the reverse order."""

    def get(self, type_: str) -> Spec | None:
        """Return the type's handler, None if there is none."""
        return self.types.get(type_)


def run_hook(hook: Hook, run_async: Callable[[Coroutine[Any, Any, Any]], object]) -> None:
    """Run a hook. If it is async, `run_async` is called with its coroutine and waits until it has ended."""
    result = hook()
    if inspect.iscoroutine(result):
        run_async(result)
