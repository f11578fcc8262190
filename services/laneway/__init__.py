"""Laneway: a multi-tenant queue with a first-in-first-out lane for every user, served in fair rounds by shared workers.

What handlers and programs use is here:

    from laneway import Client, Context, Permanent, handler
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from laneway.client import AsyncClient, Client
    from laneway.handlers import (
        Cancelled,
        Context,
        Permanent,
        SoftTimeLimit,
        handler,
        on_process_start,
        on_process_stop,
    )

__all__ = [
    "AsyncClient",
    "Cancelled",
    "Client",
    "Context",
    "Permanent",
    "SoftTimeLimit",
    "__version__",
    "handler",
    "on_process_start",
    "on_process_stop",
]
_CLIENT = ("AsyncClient", "Client")


def __getattr__(name: str) -> Any:
    """Import a public name on its first use: handlers do not load the client, nor the client the handlers."""
    if name in __all__:
        return getattr(import_module("laneway.client" if name in _CLIENT else "laneway.handlers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
