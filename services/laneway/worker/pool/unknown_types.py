"""Jobs whose type this worker does not know: the API is newer, for example, in the midst of a rollout.

Such a job waits at the head of its lane for a worker that knows the type. It keeps its slot and is not charged.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import structlog

from laneway.lanes.model import Lease
from laneway.worker.pool.reports import Reports

UNKNOWN_TYPE_SECONDS = 5.0
"""How long such a job waits before a worker is asked again."""
WARN_SECONDS = 30.0
log = structlog.get_logger()


class UnknownTypes:
    """Counts such jobs, and logs each type at most every WARN_SECONDS."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._warned_at: dict[str, float] = {}

    def report(self, leases: Iterable[Lease]) -> None:
        """Report jobs that go back."""
        now = time.monotonic()
        for type_, jobs in Counter(lease.type for lease in leases).items():
            self._reports.count("type_unknown", jobs)
            if now - self._warned_at.get(type_, -WARN_SECONDS) >= WARN_SECONDS:
                self._warned_at[type_] = now
                log.warning(
                    "type_unknown", type=type_, jobs=jobs, remedy="add its module to LANEWAY_HANDLERS"
                )
