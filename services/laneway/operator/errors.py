"""What can go wrong between the operator and the API server, as the four cases that callers treat differently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from lightkube import ApiError


class ClusterError(Exception):
    """A request to the API server failed."""


class Unreachable(ClusterError):
    """The API server is away, overloaded or too slow. The request may have been carried out all the same."""


class NotFound(ClusterError):
    """The object does not exist, or not any more."""


class Conflict(ClusterError):
    """The object has changed since it was read. Read it again before deciding again."""


class Refused(ClusterError):
    """The request is not allowed: a right is missing, or the object breaks a rule. Repeating it does not help."""


@contextmanager
def as_cluster_errors(request: str) -> Iterator[None]:
    """Raise the errors of lightkube and the network as ClusterErrors. `request` says what was tried."""
    try:
        yield
    except ApiError as error:
        raise _error_class(error.status.code or 0)(f"{request}: {error.status.message}") from error
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error


def _error_class(status: int) -> type[ClusterError]:
    match status:
        case 404 | 410:
            return NotFound
        case 409:
            return Conflict
        case 429:
            return Unreachable
        case _ if status >= 500 or status == 0:
            return Unreachable
        case _:
            return Refused
