"""Calls a handler as a worker does: the payload and the result pass through JSON and are checked against the annotations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from pydantic_core import to_jsonable_python

from laneway.handlers import Context
from laneway.handlers.loader import spec_of
from laneway.handlers.results import to_json


class FakeContext(Context):
    """A context without a job. `reports` holds what the handler has reported: percent and note, in order. `lines` holds what it
    has logged with `log`."""

    def __init__(
        self, *, job_id: str = "0" * 25, user: str = "test", attempt: int = 1, cancelled: bool = False
    ) -> None:
        self.reports: list[tuple[float, str]] = []
        self.lines: list[str] = []
        super().__init__(
            job_id,
            user,
            attempt,
            lambda percent, note: self.reports.append((percent, note)),
            lambda text: self.lines.extend(text.split("\n")),
        )
        if cancelled:
            self.stop()


def run(handler: Callable[..., Any], payload: Any = None, context: Context | None = None) -> Any:
    """Run a handler, plain or async, and return its result as the API reports it, in JSON types.

    Raises what the handler raises, a `Permanent` that names each fault when the payload or the result does not fit, and
    TypeError when the result is not JSON. Time limits do not apply, and no hook is called.
    """
    return asyncio.run(run_async(handler, payload, context))


async def run_async(handler: Callable[..., Any], payload: Any = None, context: Context | None = None) -> Any:
    """Do what `run` does, in a test that is async itself."""
    spec = spec_of(handler)
    given = spec.payload(to_json(to_jsonable_python(payload)))
    result = spec.function(given, context or FakeContext()) if spec.wants_context else spec.function(given)
    return orjson.loads(to_json(spec.result(await result if spec.is_async else result)))
