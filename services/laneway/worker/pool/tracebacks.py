"""The traceback of what a handler raised, without the worker's own frames."""

from __future__ import annotations

import os
from pathlib import Path
from traceback import TracebackException

from laneway.handlers import Cancelled
from laneway.handlers.errors import Misfit

MAX_FRAMES = 20
"""Of each exception of a chain, the innermost ones."""
MAX_LINES, MAX_CHARACTERS = 100, 20_000
"""Of the end of the text, which says most: the log keeps 200 lines, and has those of the handler, too."""
_OURS = f"{Path(__file__).parents[1]}{os.sep}"


def traceback_text(error: BaseException) -> str:
    """Return the traceback as Python prints it, without our own frames. Empty if the message of the error says all there is to say.

    That is so where a payload or a result does not fit, and where a handler stops because it was asked to.
    """
    if isinstance(error, Cancelled | Misfit):
        return ""
    found = TracebackException.from_exception(error, limit=-MAX_FRAMES, compact=True)
    _drop_our_frames(found)
    text = "".join(found.format()).rstrip()[-MAX_CHARACTERS:]
    return "\n".join(text.split("\n")[-MAX_LINES:])


def _drop_our_frames(found: TracebackException) -> None:
    """Remove our frames from every exception of the chain."""
    todo = [found]
    while todo:
        one = todo.pop()
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        todo += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other]
