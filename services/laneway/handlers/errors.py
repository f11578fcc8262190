"""The exceptions between a handler and the worker, and the one that refuses a module of handlers."""

from __future__ import annotations


class Permanent(Exception):
    """Raised by a handler to fail the job at once, because another attempt would fail too."""


class Cancelled(Exception):
    """Raised by a handler that stops because it was asked to."""


class SoftTimeLimit(Exception):
    """Raised inside a handler when its soft time limit is over. The handler may clean up and raise, or return what it has."""


class HandlerError(Exception):
    """A module of handlers cannot be used. The text names module, line and remedy."""
