"""What a handler may know of its job, and how it reports progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MAX_NOTE_CHARACTERS = 500


@dataclass(slots=True)
class Context:
    """The second argument of a handler that has a second parameter. The first `attempt` is 1."""

    job_id: str
    user: str
    attempt: int
    _report: Callable[[float, str], None] = field(repr=False)
    _log: Callable[[str], None] = field(repr=False)
    _stopped: bool = field(default=False, repr=False)

    def progress(self, percent: float, note: str = "") -> None:
        """Report how far the job is, from 0 to 100, with a short note. Cheap: frequent reports are thinned out."""
        self._report(min(100.0, max(0.0, float(percent))), str(note)[:MAX_NOTE_CHARACTERS])

    def log(self, text: object, /, **fields: object) -> None:
        """Add a line to the log of the job, which its user sees: the text, then `name=value` for each field.

        Of a run the newest 200 lines are kept, each with up to 1,000 characters. May be called in any thread.
        """
        self._log(log_text(text, fields))

    def cancelled(self) -> bool:
        """Whether the job was asked to stop. If so, return or raise `Cancelled` soon; an async handler is cancelled anyway."""
        return self._stopped

    def stop(self) -> None:
        """Ask the handler to stop. Called by the worker."""
        self._stopped = True


def log_text(text: object, fields: Mapping[str, object]) -> str:
    """Return a line of a log: the text, then `name=value` for each field."""
    return " ".join([str(text), *(f"{name}={value}" for name, value in fields.items())])
