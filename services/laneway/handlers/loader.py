"""Imports the modules of `LANEWAY_HANDLERS`, for API and worker alike, and refuses what would fail later.

A refusal names the module, the line and the remedy, because it is read by whoever wrote the handler.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

from laneway.delivery_lanes import RESERVED
from laneway.handlers.decorators import Options, is_start_hook, is_stop_hook, options_of
from laneway.handlers.errors import HandlerError
from laneway.handlers.limits import limits_of
from laneway.handlers.registry import DEFAULTS, Defaults, Hook, Registry, Spec
from laneway.handlers.signature import signature_of

MAX_TYPE_BYTES = 255
_DEMO = "laneway.handlers.demo"
_HEAVY = "what only workers have is imported inside the handler, or in a function for on_process_start"


class HandlerSettings(Protocol):
    """The settings that handlers depend on; `laneway.settings.Settings` has them."""

    @property
    def max_attempts(self) -> int:
        """Attempts of a handler that sets none."""

    @property
    def backoff_seconds(self) -> float:
        """Wait before the second attempt."""

    @property
    def backoff_max_seconds(self) -> float:
        """Longest wait between two attempts."""

    @property
    def time_limit_seconds(self) -> float:
        """Hard limit of a handler that sets none; 0 means no limit."""

    @property
    def demo_faults(self) -> bool:
        """Whether the demo handler `crash` exists."""

    @property
    def demo_folder(self) -> Path | None:
        """Folder that the demo handler `wordcount` may read."""

    def handler_modules(self) -> list[str]:
        """Names of the modules, in order."""


def load_configured(settings: HandlerSettings) -> Registry:
    """Load the handlers that the settings name. Exits with status 2 and the reason when a module cannot be used."""
    try:
        return configured(settings)
    except HandlerError as error:
        sys.stderr.write(f"wrong setting: LANEWAY_HANDLERS: {error}\n")
        raise SystemExit(2) from None


def configured(settings: HandlerSettings) -> Registry:
    """Load the handlers that the settings name. Raises HandlerError when a module cannot be used."""
    modules = settings.handler_modules()
    if _DEMO in modules:
        importlib.import_module(_DEMO).configure(faults=settings.demo_faults, folder=settings.demo_folder)
    defaults = Defaults(
        settings.max_attempts,
        settings.backoff_seconds,
        settings.backoff_max_seconds,
        settings.time_limit_seconds,
    )
    return load(modules, defaults=defaults)


def load(modules: Iterable[str], *, defaults: Defaults = DEFAULTS) -> Registry:
    """Import the modules and collect what they mark. A function that two modules export counts once.

    Raises HandlerError when a module cannot be imported or marks no handler, or a handler cannot be used.
    """
    types: dict[str, Spec] = {}
    start_hooks: dict[int, Hook] = {}
    stop_hooks: dict[int, Hook] = {}
    for name in modules:
        module = _import(name)
        marked = list(_marked(module))
        if not marked:
            raise HandlerError(f"module {name!r} marks no handler; decorate a function with @handler")
        for function, options in marked:
            spec = _spec(function, options, defaults)
            known = types.setdefault(spec.type, spec)
            if inspect.unwrap(known.function) is not inspect.unwrap(function):
                raise HandlerError(
                    f"type {spec.type!r} has two handlers, at {_place(known.function)} and {_place(function)}; "
                    "give one of them another type"
                )
        start_hooks |= _hooks(module, is_start_hook)
        stop_hooks |= _hooks(module, is_stop_hook)
    return Registry(MappingProxyType(types), tuple(start_hooks.values()), tuple(stop_hooks.values()))


def spec_of(function: Callable[..., Any], defaults: Defaults = DEFAULTS) -> Spec:
    """Return the type that a function handles. Raises HandlerError if no `@handler` marks it, or it cannot be used."""
    options = options_of(function)
    if options is None:
        raise HandlerError(
            f"{_place(function)}: {_name(function)!r} is no handler; decorate it with @handler"
        )
    return _spec(function, options, defaults)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise HandlerError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error} ({_where(name, error)})"
        ) from error


def _where(name: str, error: BaseException) -> str:
    """Return the line of the module that failed, or what to do about a module that does not exist."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
        return "start in the folder that holds it, or install it"
    frames = traceback.extract_tb(error.__traceback__)
    ours = (__file__, importlib.__file__)
    lines = [f for f in frames if f.filename not in ours and not f.filename.startswith("<frozen")]
    place = f"{lines[0].filename}:{lines[0].lineno}" if lines else "no line known"
    return f"{place}; {_HEAVY}" if isinstance(error, ModuleNotFoundError) else place


def _marked(module: ModuleType) -> Iterator[tuple[Callable[..., Any], Options]]:
    """Find the handlers that the module defines or imports; one that has two names comes once."""
    for value in {id(value): value for value in vars(module).values()}.values():
        options = options_of(value)
        if options is not None and callable(value) and not inspect.isclass(value):
            yield value, options


def _spec(function: Callable[..., Any], options: Options, defaults: Defaults) -> Spec:
    place = _place(function)
    type_ = _checked_type(options.type if options.type is not None else _name(function), place)
    attempts = defaults.max_attempts if options.attempts is None else options.attempts
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise HandlerError(f"{place}: attempts={attempts!r} of {type_!r}; give a whole number from 1")
    backoff = _seconds(options.backoff, defaults.backoff_seconds, f"{place}: backoff of {type_!r}")
    soft = _seconds(options.soft_time_limit, 0, f"{place}: soft_time_limit of {type_!r}")
    hard = _seconds(options.time_limit, defaults.time_limit_seconds, f"{place}: time_limit of {type_!r}")
    signature = signature_of(function, f"{place}: the handler of {type_!r}")
    is_async = inspect.iscoroutinefunction(inspect.unwrap(function))
    if is_async and not inspect.iscoroutinefunction(function):
        function = _awaiting(function)
    return Spec(
        type=type_,
        function=function,
        is_async=is_async,
        wants_context=signature.wants_context,
        max_attempts=attempts,
        backoff_seconds=backoff,
        backoff_max_seconds=defaults.backoff_max_seconds,
        soft_seconds=soft or None,
        hard_seconds=hard or None,
        description=inspect.getdoc(function) or "",
        limits=limits_of(options.max_running, options.rate, f"{place}: the handler of {type_!r}"),
        takes=signature.takes,
        gives=signature.gives,
    )


def _awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a plain decorator's wrapper around an async function an async function."""

    @functools.wraps(function)
    async def call(*args: Any) -> Any:
        result = function(*args)
        return await result if inspect.isawaitable(result) else result

    return call


def _checked_type(type_: Any, place: str) -> str:
    if not isinstance(type_, str) or not type_.isprintable() or not type_.strip():
        raise HandlerError(
            f"{place}: the type {type_!r} is not a printable text; name it as in @handler('resize')"
        )
    if type_.startswith(RESERVED):
        raise HandlerError(f"{place}: the type {type_!r} begins with {RESERVED}, as Laneway's own types do")
    if len(type_.encode("utf-8", "surrogatepass")) > MAX_TYPE_BYTES:
        raise HandlerError(
            f"{place}: the type {type_[:40]!r}... has more than {MAX_TYPE_BYTES} bytes; shorten it"
        )
    return type_


def _hooks(module: ModuleType, is_hook: Callable[[object], bool]) -> dict[int, Hook]:
    """Find the hooks that the module defines or imports, by their identity; one that has two names comes once."""
    return {id(value): _checked_hook(value) for value in vars(module).values() if is_hook(value)}


def _checked_hook(value: Any) -> Hook:
    required = [p for p in inspect.signature(value).parameters.values() if p.default is p.empty]
    if any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in required):
        raise HandlerError(
            f"{_place(value)}: a function for on_process_start or on_process_stop takes no arguments"
        )
    hook: Hook = value
    return hook


def _seconds(value: Any, default: float, what: str) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise HandlerError(f"{what} is {value!r}; give seconds from 0")
    return float(value)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _place(function: Any) -> str:
    """Return `file:line` of a function."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return f"{getattr(inner, '__module__', '?')}.{_name(inner)}"
    return f"{code.co_filename}:{code.co_firstlineno}"
