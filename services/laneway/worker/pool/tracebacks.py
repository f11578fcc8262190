"""The traceback of what a handler raised, from the handler on."""

from __future__ import annotations

import asyncio
import traceback

from laneway.handlers import Cancelled
from laneway.handlers.errors import Misfit

MAX_FRAMES = 20
"""Of each exception of a chain, the innermost ones."""
MAX_CHARACTERS = 20_000
"""Of the end of the text, which says most."""
_OURS = "laneway.worker."


def traceback_text(error: BaseException) -> str:
    """Return the traceback as Python prints it, without our own frames; nothing for what tells all by its message.

    That is a payload or a result that does not fit, and a job that was asked to stop.
    """
    if isinstance(error, Cancelled | Misfit | asyncio.CancelledError):
        return ""
    trace = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or error.__traceback__, limit=-MAX_FRAMES)
    return "".join(lines).rstrip()[-MAX_CHARACTERS:]
