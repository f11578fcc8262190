"""The id of the request that is being served: in its log lines, its answer and its problem documents."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""'' outside of a request."""


def fields() -> dict[str, str]:
    """Return what a log line says about the request."""
    current = request_id.get()
    return {"request_id": current} if current else {}
