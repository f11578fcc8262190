"""Reads a handler's signature: whether it wants a context, and the schemas of its payload and its result.

Only the annotations of the first parameter and of the result are evaluated. All others may name things that exist for type
checkers alone, so that a module need not import them when it runs.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Never, NoReturn, TypeVar, get_type_hints

from laneway.handlers.errors import HandlerError
from laneway.handlers.schemas import PayloadSchema, ResultSchema

S = TypeVar("S", PayloadSchema, ResultSchema)
_UNCHECKED = (inspect.Parameter.empty, Any, object, Never, NoReturn)
_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


class Signature(NamedTuple):
    """What a handler is called with and what comes back. A schema is None where any JSON passes, unread and unchecked."""

    wants_context: bool
    takes: PayloadSchema | None
    gives: ResultSchema | None


def signature_of(function: Callable[..., Any], what: str) -> Signature:
    """Read a signature. `what` names the handler in the HandlerError that is raised when it cannot be used."""
    signature = _inspect(function)
    parameters = [p for p in signature.parameters.values() if p.kind in _POSITIONAL]
    if not parameters:
        raise HandlerError(f"{what} takes no payload; give it a parameter")
    first = parameters[0]
    annotation = first.empty if first.kind is first.VAR_POSITIONAL else first.annotation
    return Signature(
        wants_context=len(parameters) > 1,
        takes=_schema(PayloadSchema, function, annotation, f"{what}: the payload's annotation"),
        gives=_schema(
            ResultSchema, function, signature.return_annotation, f"{what}: the result's annotation"
        ),
    )


def _inspect(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib  # noqa: PLC0415 - new in 3.14, where signatures evaluate annotations

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _schema(kind: type[S], function: Callable[..., Any], annotation: Any, what: str) -> S | None:
    try:
        resolved = _resolve(function, annotation)
    except Exception as error:
        raise HandlerError(
            f"{what} {annotation!r} cannot be evaluated: {error}; define or import it at the top of the module"
        ) from error
    if resolved in _UNCHECKED:
        return None
    try:
        return kind(resolved)
    except Exception as error:
        raise HandlerError(
            f"{what} {annotation!r} cannot be checked: {str(error).splitlines()[0]}; "
            "use a pydantic model, a dataclass, a TypedDict, a plain type, or Any"
        ) from error


def _resolve(function: Any, annotation: Any) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    return get_type_hints(holder, vars(sys.modules[inner.__module__]), include_extras=True)["it"]
