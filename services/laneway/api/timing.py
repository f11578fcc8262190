"""Measures the time of each request."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laneway.api import metrics

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
MAX_SERIES = 500
"""Combinations of route, method and status that are counted separately. All others are counted together."""
_OTHER = ("other", "other", 0)
_LIVE = frozenset({"/api/connect", "/api/events"})
"""Routes whose answers last as long as the client stays."""


def timed(app: ASGIApp) -> ASGIApp:
    """Wrap an app so that each of its HTTP answers is observed in `laneway_api_request_seconds`."""
    series: dict[tuple[str, str, int], Histogram] = {}

    async def timed_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started, status, complete = time.perf_counter(), 500, False

        def watched_send(message: Message) -> Any:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                complete = not message.get("more_body", False)
            return send(message)

        try:
            await app(scope, receive, watched_send)
        except Exception:
            if (
                not complete
            ):  # otherwise it was logged and answered, and the connection can serve more requests
                raise
        finally:
            key = (_route(scope), scope["method"] if scope["method"] in _METHODS else "other", status)
            if key[0] not in _LIVE:
                if key not in series and len(series) >= MAX_SERIES:
                    key = _OTHER
                if key not in series:
                    series[key] = metrics.api_request_seconds.labels(*key)
                series[key].observe(time.perf_counter() - started)

    return timed_app


def _route(scope: Scope) -> str:
    """Return the path's pattern: the number of series must not grow with what clients send."""
    return getattr(scope.get("route"), "path", None) or "unmatched"
