"""The decorators that mark handlers, start hooks and stop hooks. They only mark: `laneway.handlers.loader` checks and collects."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])
_HANDLER = "__laneway_handler__"
_START_HOOK, _STOP_HOOK = "__laneway_start_hook__", "__laneway_stop_hook__"


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `@handler` as they were written, unchecked. None: take the default."""

    type: Any
    attempts: Any
    backoff: Any
    soft_time_limit: Any
    time_limit: Any
    max_running: Any = None
    rate: Any = None


@overload
def handler(type_: F, /) -> F: ...
@overload
def handler(
    type_: str | None = None,
    /,
    *,
    attempts: int | None = None,
    backoff: float | None = None,
    soft_time_limit: float | None = None,
    time_limit: float | None = None,
    max_running: int | None = None,
    rate: str | None = None,
) -> Callable[[F], F]: ...
def handler(
    type_: Any = None,
    /,
    *,
    attempts: int | None = None,
    backoff: float | None = None,
    soft_time_limit: float | None = None,
    time_limit: float | None = None,
    max_running: int | None = None,
    rate: str | None = None,
) -> Any:
    """Mark a plain or async function as the handler of a type, by default the function's name.

    `attempts` counts the first one too. `backoff` is the wait in seconds before the second attempt; it doubles for each
    further one. After `soft_time_limit` seconds, `SoftTimeLimit` is raised in a plain handler and an async one is cancelled.
    After `time_limit` seconds an async handler is cancelled, and the process of a plain one is killed. 0 means no limit.
    Options that are left out come from the settings.

    `max_running` and `rate` protect what the handler calls: over all workers and users, at most `max_running` jobs of the type
    run at once, and at most so many start in any second, minute or hour as `rate` says: `10/s`, `100/m` or `1000/h`.
    """
    if callable(type_):
        return handler()(type_)

    def mark(function: F) -> F:
        options = Options(type_, attempts, backoff, soft_time_limit, time_limit, max_running, rate)
        setattr(function, _HANDLER, options)
        return function

    return mark


def on_process_start(function: F) -> F:
    """Mark a function without parameters, plain or async, that runs in each worker process before its first job.

    A worker imports the handlers once and forks: threads, connections and event loops that were made at import do not work
    in its processes. Make them here. An async function runs on the event loop that runs the async handlers. The API, which
    imports the handlers too, does not call it.
    """
    setattr(function, _START_HOOK, True)
    return function


def on_process_stop(function: F) -> F:
    """Mark a function without parameters, plain or async, that runs in each worker process after its last job.

    The last one that is defined runs first, so that things are closed in the reverse order of their making. What one raises is
    logged, and the others run all the same. A process that is killed, as by a hard time limit, runs none of them.
    """
    setattr(function, _STOP_HOOK, True)
    return function


def options_of(value: object) -> Options | None:
    """Return what `@handler` marked. Asks no proxy object for attributes, so that importing one has no effect."""
    options = inspect.getattr_static(value, _HANDLER, None)
    return options if isinstance(options, Options) else None


def is_start_hook(value: object) -> bool:
    """Whether `@on_process_start` marked it."""
    return inspect.getattr_static(value, _START_HOOK, None) is True


def is_stop_hook(value: object) -> bool:
    """Whether `@on_process_stop` marked it."""
    return inspect.getattr_static(value, _STOP_HOOK, None) is True
