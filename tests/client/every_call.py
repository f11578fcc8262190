"""Every call that the client can make, to be held against what the API documents."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from laneway.client import Request, calls

ARGUMENTS: Mapping[str, Any] = {
    "request": {},
    "requests": [Request("echo")],
    "limit": 1,
    "slots": 1,
    "filters": {},
    "since": None,
    "until": None,
    "timing": {},
    "body": {},
}


def every_call() -> Iterator[calls.Call[Any]]:
    """Yield each with some arguments; `ID` stands for all that is part of a path."""
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        signature = inspect.signature(function)
        if str(signature.return_annotation).startswith("Call["):
            given = [ARGUMENTS.get(parameter, "ID") for parameter in signature.parameters]
            yield function(Request("echo"), *given[1:]) if name == "enqueue" else function(*given)
