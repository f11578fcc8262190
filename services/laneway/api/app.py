"""Assembles the API. A request meets the parts in this order, and each returns the app that it wraps:

1. limits of its connection (`protocol`, by way of `uvicorn_options`)
2. `Application`: asks clients to go elsewhere once the process drains
3. `ForwardedHeaders`: takes address, scheme and path prefix of the client from trusted proxies
4. `identified`: gives the request an id
5. `metrics_on_port`: serves `/metrics` to those who come by its port
6. `cross_origin`: answers browsers on pages of other origins, if there are any
7. `timed`: measures the request
8. `hot_path`: serves `POST /api/enqueue`
9. `routers`: everything else, through FastAPI

Parts that only pass a request on are plain functions that return what the next one returns: a coroutine of its own would
cost each of them 1 % of an enqueue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laneway.api import dashboard, docs, errors
from laneway.api.cross_origin import cross_origin
from laneway.api.hot_path import hot_path
from laneway.api.metrics_page import metrics_on_port
from laneway.api.protocol import UNREAD_HEARTBEATS, LimitedProtocol
from laneway.api.request_ids import identified
from laneway.api.routers import (
    account,
    admin,
    admin_schedules,
    admin_webhooks,
    auth,
    dead_letters,
    enqueue,
    events,
    health,
    jobs,
    keys,
    observing,
    operations,
    queue,
    schedules,
    types,
    webhooks,
)
from laneway.api.startup import open_system
from laneway.api.system import Lifecycle
from laneway.api.timing import timed
from laneway.compat.uvicorn import ForwardedHeaders
from laneway.handlers import Spec
from laneway.handlers.loader import load_configured
from laneway.settings import Settings

LIVE_MESSAGE_BYTES = 4096
"""Clients have nothing to say on a live connection."""


def uvicorn_options(heartbeat_seconds: float) -> dict[str, Any]:
    """Return the options with which uvicorn serves the app. It pings a WebSocket every `heartbeat_seconds`."""
    return {
        "interface": "asgi3",  # uvicorn's guess needs an app that is a coroutine function
        "loop": "uvloop",
        "http": LimitedProtocol,
        "ws": "websockets-sansio",
        "ws_max_size": LIVE_MESSAGE_BYTES,
        "ws_ping_interval": heartbeat_seconds,
        "ws_ping_timeout": UNREAD_HEARTBEATS * heartbeat_seconds,
        "lifespan": "on",
        "access_log": False,
        "proxy_headers": False,  # `ForwardedHeaders` takes them
        "server_header": False,
    }


def create_app(settings: Settings) -> Application:
    """Build the app of one process. Exits with status 2 and the reason if a handler module cannot be used."""
    lifecycle = Lifecycle()
    routers = routed(settings, load_configured(settings).types, lifecycle)
    served = hot_path(_with_prefix(settings.root_path, routers), settings.root_path)
    app = cross_origin(timed(served), settings.allowed_origins)
    app = identified(metrics_on_port(app, settings.api_metrics_port))
    return Application(ForwardedHeaders(app, settings.trusted_proxies), lifecycle)


def _with_prefix(root_path: str, app: ASGIApp) -> ASGIApp:
    """Set the path prefix that clients see, whether the proxy strips it or not. uvicorn's own option requires that it does."""
    if not root_path:
        return app

    async def prefixed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = root_path
        await app(scope, receive, send)

    return prefixed


class Application:
    """The app of one process, and the two steps in which it ends."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve, and from `drain` on ask each client to use another connection for its next request."""
        if self._lifecycle.draining and scope["type"] == "http":
            send = _closing(send)
        return self._app(scope, receive, send)

    def drain(self) -> None:
        """Serve on, but report that nothing new should be sent here."""
        self._lifecycle.draining = True

    def close_live(self) -> None:
        """Close all live connections: their clients connect to another process."""
        self._lifecycle.close_live()


def _closing(send: Send) -> Send:
    async def closing_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing_send


def routed(settings: Settings, specs: Mapping[str, Spec], lifecycle: Lifecycle) -> FastAPI:
    """Return the innermost app, which finds the router of a request. Its lifespan opens connections to Redis and MongoDB."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            yield {"system": await open_system(settings, specs, lifecycle, stack)}

    app = FastAPI(
        title="Laneway",
        summary="A first-in-first-out lane for every user, served in fair rounds.",
        description=events.__doc__ or "",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,  # the address in a redirect would be the client's Host header
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    for module in (
        enqueue,
        types,
        jobs,
        queue,
        auth,
        account,
        keys,
        schedules,
        webhooks,
        events,
        admin,
        admin_schedules,
        admin_webhooks,
        observing,
        dead_letters,
        operations,
        health,
    ):
        # `include_router` would have FastAPI build each of them again, in the first request of every process.
        app.router.routes.extend(module.router.routes)
    docs.install(app)
    dashboard.install(app)
    errors.install(app)
    return app
