"""The exceptions between a handler and the worker, and the one that refuses a module of handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Permanent(Exception):
    """Raised by a handler to fail the job at once, because another attempt would fail too."""


class Fault(NamedTuple):
    """A validation error: the JSON pointer to the value, and a sentence that says what is wrong with it."""

    pointer: str
    detail: str


class Misfit(Permanent):
    """A value does not fit its schema. The pointers of `faults` point into the job."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in faults))
        self.faults = faults


class InvalidPayload(Misfit):
    """The payload does not fit what its handler takes."""


class InvalidResult(Misfit):
    """What the handler returned does not fit what it gives."""


class Cancelled(Exception):
    """Raised by a handler that stops because it was asked to."""


class SoftTimeLimit(Exception):
    """Raised inside a handler when its soft time limit is over. The handler may clean up and raise, or return what it has."""


class HandlerError(Exception):
    """A module of handlers cannot be used. The text names module, line and remedy."""
