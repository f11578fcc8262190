"""The operator's HTTP endpoints: `/healthz` and `/readyz` for the kubelet on one port, `/metrics` on another.

Both listen on all addresses, IPv4 and IPv6. They run in the operator's event loop, so `/healthz` also fails when that loop
is blocked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from laneway.operator.heartbeats import LoopStalled

CLOSE_SECONDS = 1.0


class Endpoints:
    """`liveness` returns what `/healthz` answers, or raises LoopStalled. `readiness` returns the problems, by check. `warnings` returns,
    by kind, what could lose jobs although the operator is ready.

    A `metrics_port` of 0 serves no metrics.
    """

    def __init__(
        self,
        liveness: Callable[[], dict[str, Any]],
        readiness: Callable[[], Awaitable[dict[str, str]]],
        warnings: Callable[[], Mapping[str, str]],
        registry: CollectorRegistry,
        health_port: int,
        metrics_port: int,
    ) -> None:
        self._liveness, self._readiness, self._warnings = liveness, readiness, warnings
        health = web.Application()
        health.router.add_get("/healthz", self._healthz)
        health.router.add_get("/readyz", self._readyz)
        metrics = web.Application()
        metrics.router.add_get("/metrics", make_aiohttp_handler(registry))
        self._applications = {health_port: health} | ({metrics_port: metrics} if metrics_port else {})
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listen. Raises OSError if a port is taken."""
        for port, application in self._applications.items():
            runner = web.AppRunner(
                application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS
            )
            self._runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, None, port).start()

    async def stop(self) -> None:
        """Close the ports and all connections."""
        for runner in self._runners:
            await runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        try:
            return web.json_response(self._liveness())
        except LoopStalled as error:
            return web.json_response({"error": str(error)}, status=500)

    async def _readyz(self, _request: web.Request) -> web.Response:
        problems = await self._readiness()
        if problems:
            return web.json_response({"status": "not ready", "problems": problems}, status=503)
        return web.json_response({"status": "ready", "warnings": dict(self._warnings())})
