"""Laneway: a multi-tenant queue with a first-in-first-out lane for every user, served in fair rounds by shared workers.

What the author of a handler needs is here:

    from laneway import Context, Permanent, handler
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from laneway.handlers import Cancelled, Context, Permanent, SoftTimeLimit, handler

__all__ = ["Cancelled", "Context", "Permanent", "SoftTimeLimit", "__version__", "handler"]


def __getattr__(name: str) -> Any:
    """Import what handlers need on first use: a program that uses another part of the package does not pay for it."""
    if name in __all__:
        from laneway import handlers  # noqa: PLC0415 - on first use, see above

        return getattr(handlers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
