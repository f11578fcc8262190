"""The outermost part of the app: takes the time of each request, and serves the hot path before the framework begins to route it."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laneway.api import metrics
from laneway.api.deps import system_of
from laneway.api.routers import enqueue

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
_LIVE = frozenset({"/api/events"})


class Front:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._series: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        if system_of(scope).draining:
            send = _closing(send)
        if scope["path"] == enqueue.PATH and scope["method"] == "POST":
            status = await enqueue.serve(scope, receive, send)
            self._observe(enqueue.PATH, "POST", status, started)
        else:
            await self._timed(scope, receive, send, started)

    async def _timed(self, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        status, complete = 500, False

        async def watched(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            complete = not message.get("more_body", message["type"] == "http.response.start")

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if not complete:  # else it has been logged and answered, and the connection is good for more
                raise
        finally:
            route = _route(scope)
            if route not in _LIVE:
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._observe(route, method, status, started)

    def _observe(self, route: str, method: str, status: int, started: float) -> None:
        key = (route, method, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = metrics.api_request_seconds.labels(*key)
        series.observe(time.perf_counter() - started)


def _closing(send: Send) -> Send:
    """Ask the client to come back on another connection: this process ends."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing


def _route(scope: Scope) -> str:
    """The path's pattern: the number of series must not grow with what clients send."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
