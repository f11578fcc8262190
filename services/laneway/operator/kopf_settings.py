"""kopf's settings for this operator, and the log levels of the libraries below it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator

import kopf

_CHATTY = ("httpx2", "kopf.objects")
"""They log a line for every request and every status that is written."""


class EndlessBackoffs(Iterable[float]):
    """Pauses between kopf's attempts of a request, without end: an API server that is away is no reason to exit."""

    def __iter__(self) -> Iterator[float]:
        """Short pauses first, then 5 s for ever."""
        return itertools.chain((0.2, 0.5, 1, 2, 3), itertools.repeat(5.0))


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what differs from kopf's defaults."""
    settings.scanning.disabled = True  # neither namespaces nor CRDs: the operator has no cluster-wide rights
    settings.peering.standalone = True  # leadership.py elects a leader; peering is no lock
    settings.posting.enabled = False  # events.py records Events
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 90  # the API server sends a bookmark every minute
    settings.process.ultimate_exiting_timeout = 25


def quieten_libraries() -> None:
    """Log only the warnings of libraries that log every request."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
