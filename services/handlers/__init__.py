"""What a handler's author needs: the decorator, the context, and the exceptions that mean something to the worker.

    from services.handlers import Context, Permanent, handler

    @handler("resize", attempts=5, time_limit=60)
    async def resize(payload: dict, context: Context) -> dict: ...

A module of handlers is named in `QUEUE_HANDLERS`; docs/handlers.md tells the rest.
"""

from services.handlers.context import Context
from services.handlers.registry import Cancelled, Permanent, Registry, SoftTimeLimit, Spec, handler, load

__all__ = ["Cancelled", "Context", "Permanent", "Registry", "SoftTimeLimit", "Spec", "handler", "load"]
