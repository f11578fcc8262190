"""What a handler's author needs: the decorator, the context, and the exceptions that mean something to the worker.

    from laneway.handlers import Context, Permanent, handler

    @handler("resize", attempts=5, time_limit=60)
    async def resize(payload: dict, context: Context) -> dict: ...

A module of handlers is named in `LANEWAY_HANDLERS`; docs/handlers.md tells the rest.
"""

from laneway.handlers.context import Context
from laneway.handlers.registry import Cancelled, Permanent, Registry, SoftTimeLimit, Spec, handler, load

__all__ = ["Cancelled", "Context", "Permanent", "Registry", "SoftTimeLimit", "Spec", "handler", "load"]
