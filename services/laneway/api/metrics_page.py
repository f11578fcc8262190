"""Serves `/metrics` on a port of its own, which no Ingress leads to.

Making the page takes tens of milliseconds of a processor. It is made at most once in FRESH_SECONDS by each process, however
many ask for it, so a scraper cannot slow the API down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from laneway.api import metrics
from laneway.api.deps import system_of
from laneway.api.problem import Problem
from laneway.api.system import System

FRESH_SECONDS = 1.0
PATH = "/metrics"


class Page:
    """The page of one process."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._made_at = float("-inf")
        self._text = b""

    async def text(self, system: System) -> bytes:
        """Return the page, at most FRESH_SECONDS old."""
        async with self._lock:
            if time.monotonic() - self._made_at > FRESH_SECONDS:
                self._text = await asyncio.to_thread(
                    metrics.render, await system.sampler.sizes(), system.redis_warnings
                )
                self._made_at = time.monotonic()
            return self._text


def metrics_on_port(app: ASGIApp, port: int) -> ASGIApp:
    """Wrap an app so that requests to this port get the metrics and nothing else. 0 leaves the metrics out."""
    page = Page()

    def with_metrics(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan" or not scope["server"] or scope["server"][1] != port:
            return app(scope, receive, send)
        return serve_metrics(scope, receive, send)

    async def serve_metrics(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await (await _answer(scope, page))(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    return with_metrics if port else app


async def _answer(scope: Scope, page: Page) -> Response:
    if scope["path"] != PATH:
        return Problem(404, "not-found", f"this port serves {PATH} only").response()
    if scope["method"] not in {"GET", "HEAD"}:
        return Problem(
            405, "method-not-allowed", "see the Allow header", headers={"allow": "GET, HEAD"}
        ).response()
    return Response(await page.text(system_of(scope)), headers={"content-type": CONTENT_TYPE_LATEST})
