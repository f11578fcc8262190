"""What the author of a handler needs: the decorators, the context, and the exceptions that the worker understands.

    from laneway import Context, Permanent, handler

    @handler("resize", attempts=5, time_limit=60)
    async def resize(payload: dict, context: Context) -> dict: ...

`LANEWAY_HANDLERS` names the modules; `docs/handlers.md` has the details.
"""

from laneway.handlers.context import Context
from laneway.handlers.decorators import handler, on_process_start, on_process_stop
from laneway.handlers.errors import Cancelled, Permanent, SoftTimeLimit
from laneway.handlers.registry import Defaults, Registry, Room, Spec

__all__ = [
    "Cancelled",
    "Context",
    "Defaults",
    "Permanent",
    "Registry",
    "Room",
    "SoftTimeLimit",
    "Spec",
    "handler",
    "on_process_start",
    "on_process_stop",
]
