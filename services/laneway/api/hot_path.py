"""Serves `POST /api/enqueue` before the framework begins to route it, since routing costs more than the work itself.

The same path is a route of `routers.enqueue`, for the documentation.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from laneway.api.deps import system_of
from laneway.api.errors import problem_of
from laneway.api.problem import MEDIA_TYPE
from laneway.api.routers import enqueue

_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_PROBLEM_HEADERS = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]


class _Route(NamedTuple):
    path: str


_ROUTE = _Route(enqueue.PATH)


def hot_path(app: ASGIApp, root_path: str = "") -> ASGIApp:
    """Wrap an app so that `POST /api/enqueue` is served here, and everything else by the app.

    `root_path` is the prefix of all paths behind a proxy, whether the proxy strips it or not.
    """
    paths = {enqueue.PATH, root_path + enqueue.PATH}

    def hot_path_app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] in paths and scope["method"] == "POST":
            scope["route"] = _ROUTE
            return _enqueue(scope, receive, send)
        return app(scope, receive, send)

    return hot_path_app


async def _enqueue(scope: Scope, receive: Receive, send: Send) -> None:
    status, headers = 200, _HEADERS
    try:
        content = await enqueue.accept_one(system_of(scope), scope["headers"], receive)
    except Exception as error:  # noqa: BLE001 - problem_of logs an unexpected one
        problem = problem_of(error)
        status, content = problem.status, problem.body()
        more = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
        headers = [*_PROBLEM_HEADERS, *more]
    headers = [*headers, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
