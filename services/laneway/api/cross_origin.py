"""Lets pages of other origins use the API from a browser (CORS). By default none may."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

REMEMBERED_SECONDS = 600
"""How long a browser need not ask again."""
_READABLE = ("Retry-After", "X-Request-ID", "WWW-Authenticate")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID")


def cross_origin(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Wrap an app so that pages of these origins may call it; `*` stands for all.

    Cookies are never involved: whoever calls must have a token.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=_SENT,
        expose_headers=_READABLE,
        max_age=REMEMBERED_SECONDS,
    )
