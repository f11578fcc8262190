"""What a handler may know of its job, and say about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Context:
    """Handed to a handler that has a second parameter. `attempt` counts from 1."""

    job_id: str
    user: str
    attempt: int
    _report: Callable[[float, str], None] = field(repr=False)
    _stopped: bool = field(default=False, repr=False)

    def progress(self, percent: float, note: str = "") -> None:
        """Say how far the job is, 0 to 100, with a short note. Cheap: reports that come too fast are thinned out."""
        self._report(min(100.0, max(0.0, float(percent))), str(note)[:500])

    def cancelled(self) -> bool:
        """Whether the job has been asked to stop: return or raise `Cancelled` soon. An async handler is cancelled by itself."""
        return self._stopped

    def stop(self) -> None:
        """Ask the handler to stop (the worker calls this)."""
        self._stopped = True
