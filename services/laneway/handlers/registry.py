"""Which handler does a request's work: the types, their functions and options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__laneway_handler__"


class Permanent(Exception):
    """Raised by a handler: the job has failed, and trying again would not help."""


class Cancelled(Exception):
    """Raised by a handler that stops because it was asked to."""


class SoftTimeLimit(Exception):
    """Raised inside a handler when its soft time limit has run out; it may tidy up and raise, or return what it has."""


class HandlerError(Exception):
    """A module of handlers cannot be used."""


@dataclass(frozen=True, slots=True)
class _Options:
    type: str | None
    attempts: int | None
    backoff: float | None
    soft_time_limit: float | None
    time_limit: float | None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a handler gets that says nothing else. Times in seconds; `time_limit` 0: none."""

    max_attempts: int = 3
    backoff_seconds: float = 1
    backoff_max_seconds: float = 300
    time_limit_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Spec:
    """A type's handler. Times in seconds; None: no limit."""

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
    """The types that this system knows."""

    types: Mapping[str, Spec] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, type_: str) -> Spec | None:
        return self.types.get(type_)


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
) -> Callable[[F], F]: ...
def handler(
    type_: Any = None,
    /,
    *,
    attempts: int | None = None,
    backoff: float | None = None,
    soft_time_limit: float | None = None,
    time_limit: float | None = None,
) -> Any:
    """Mark a plain or async function as the handler of a type (by default the function's name).

    `attempts`: in all, the first included. `backoff`: seconds before the second attempt, doubled for each one after.
    `soft_time_limit`: seconds until `SoftTimeLimit` is raised in the handler (an async one is cancelled with it).
    `time_limit`: seconds until its process is killed. 0 is no limit. What is left out comes from the settings.
    """
    if callable(type_):
        return handler()(type_)

    def mark(function: F) -> F:
        setattr(function, _MARK, _Options(type_, attempts, backoff, soft_time_limit, time_limit))
        return function

    return mark


def load(
    modules: Iterable[str], *, defaults: Defaults = Defaults(), options: Mapping[str, Any] | None = None
) -> Registry:
    """Import the modules and collect what they mark. A module's `setup(options)`, if it has one, is called first.

    Raises HandlerError when a module cannot be imported, has no handler, or a type has two.
    """
    types: dict[str, Spec] = {}
    for name in modules:
        for spec in _specs(_import(name, options or {}), defaults):
            if spec.type in types:
                raise HandlerError(f"type {spec.type!r} has two handlers; the second is in {name}")
            types[spec.type] = spec
    return Registry(MappingProxyType(types))


def _import(name: str, options: Mapping[str, Any]) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise HandlerError(f"module {name!r} of LANEWAY_HANDLERS cannot be imported: {error}") from error
    setup = getattr(module, "setup", None)
    if setup is not None:
        setup(options)
    return module


def _specs(module: ModuleType, defaults: Defaults) -> list[Spec]:
    marked = {id(f): f for f in vars(module).values() if isinstance(getattr(f, _MARK, None), _Options)}
    if not marked:
        raise HandlerError(f"module {module.__name__!r} of LANEWAY_HANDLERS marks no handler")
    return [_spec(function, getattr(function, _MARK), defaults) for function in marked.values()]


def _spec(function: Callable[..., Any], options: _Options, defaults: Defaults) -> Spec:
    type_ = options.type or function.__name__
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if not parameters:
        raise HandlerError(f"the handler of {type_!r} takes no payload")
    attempts = defaults.max_attempts if options.attempts is None else options.attempts
    hard = defaults.time_limit_seconds if options.time_limit is None else options.time_limit
    if attempts < 1:
        raise HandlerError(f"the handler of {type_!r} has no attempt")
    return Spec(
        type=type_,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        wants_context=len(parameters) > 1,
        max_attempts=attempts,
        backoff_seconds=defaults.backoff_seconds if options.backoff is None else options.backoff,
        backoff_max_seconds=defaults.backoff_max_seconds,
        soft_seconds=options.soft_time_limit or None,
        hard_seconds=hard or None,
    )
