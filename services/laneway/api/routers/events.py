"""Live connections. While one is open its user is connected, and receives what happens to the user's own jobs.

Messages are JSON objects. The first is `{"event": "connected", "user", "heartbeat_seconds"}`. Then follow
`{"event": "state", "job_id", "state", "attempts"}`, `{"event": "progress", "job_id", "percent", "note"}`, and
`{"event": "missed"}` when messages were lost. A job that ends very quickly has no message for the state `running`.

The token is sent in the Authorization header. Browsers cannot set it for a WebSocket or an EventSource: a WebSocket may send
the token as a subprotocol `bearer.<token>` beside the subprotocol `laneway`, an event stream as the query parameter
`access_token`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, WebSocket
from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import StreamingResponse

from laneway.api.deps import PROBLEM, Sys, problems, system_of, verified
from laneway.api.errors import problem_of
from laneway.api.live.connection import Closing, Connection, kind_of
from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.api.tokens import authorization_of
from laneway.storage.api_keys import Scope

router = APIRouter(prefix="/api", tags=["live"])
SUBPROTOCOL = "laneway"
_BEARER = "bearer."


async def _join(system: System, authorization: bytes) -> Connection:
    token = await verified(system, authorization)
    token.require(Scope.READ)
    return await system.hub.join(token)


# -- WebSocket ----------------------------------------------------------------------------------------------------


@router.websocket("/connect")
async def connect(socket: WebSocket) -> None:
    """Serve a live connection until the client closes it, its token ends, or the process does."""
    system = system_of(socket.scope)
    offered = socket.scope.get("subprotocols", [])
    try:
        connection = await _join(system, _authorization(socket, offered))
    except Exception as error:  # noqa: BLE001 - problem_of logs an unexpected one
        await socket.send_denial_response(problem_of(error).response())
        return
    try:
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        await _exchange(socket, connection, system.hub.heartbeat_seconds)
    finally:
        system.hub.leave(connection)


def _authorization(socket: WebSocket, offered: list[str]) -> bytes:
    for protocol in offered:
        if protocol.startswith(_BEARER):
            return b"Bearer " + protocol.removeprefix(_BEARER).encode()
    return authorization_of(socket.scope["headers"])


async def _exchange(socket: WebSocket, connection: Connection, heartbeat_seconds: float) -> None:
    """Write the messages until either side closes. What the client sends is ignored."""
    writing = asyncio.create_task(_write(socket, connection, heartbeat_seconds))
    reading = asyncio.create_task(_read(socket))
    try:
        await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done() and not reading.done():
            closing = writing.result()
            await socket.close(closing.code, closing.reason)
    finally:
        for task in (writing, reading):
            task.cancel()
        await asyncio.gather(writing, reading, return_exceptions=True)


async def _write(socket: WebSocket, connection: Connection, heartbeat_seconds: float) -> Closing:
    while True:
        message = await connection.next(heartbeat_seconds)
        if isinstance(message, Closing):
            return message
        if message is not None:  # the server pings idle WebSockets by itself
            await socket.send_text(message.decode())


async def _read(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


@router.get(
    "/connect",
    status_code=426,
    response_class=Response,
    responses={426: {"description": "The request asked for no upgrade to a WebSocket.", **PROBLEM}},
)
async def connect_without_upgrade() -> Response:
    """Open this endpoint as a WebSocket. The user is connected while one is open, and receives JSON messages about own jobs."""
    raise Problem(426, "upgrade-required", "open it as a WebSocket", headers={"upgrade": "websocket"})


# -- server-sent events -------------------------------------------------------------------------------------------


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""The second keeps nginx from collecting events before it passes them on."""


async def _joined(
    request: Request,
    system: Sys,
    access_token: Annotated[
        str, Query(max_length=4096, description="The token, for clients that cannot set headers.")
    ] = "",
) -> AsyncIterator[Connection]:
    """A connection that lasts as long as the answer."""
    if access_token:
        authorization = b"Bearer " + access_token.encode()
    else:
        authorization = authorization_of(request.scope["headers"])
    connection = await _join(system, authorization)
    try:
        yield connection
    finally:
        system.hub.leave(connection)


@router.get(
    "/events",
    response_class=_EventStream,
    responses=problems(400, 401, 403, 429, 503),
    openapi_extra={"security": [{"HTTPBearer": []}]},
)
async def events(connection: Annotated[Connection, Depends(_joined)], system: Sys) -> Response:
    """Receive the same messages as server-sent events. The stream ends with the token: connect again with a new one."""
    return _EventStream(_messages(connection, system.hub.heartbeat_seconds), headers=_STREAM_HEADERS)


async def _messages(connection: Connection, heartbeat_seconds: float) -> AsyncIterator[bytes]:
    while True:
        message = await connection.next(heartbeat_seconds)
        if isinstance(message, Closing):
            return
        if message is None:
            yield format_sse_event(comment="still here")
        else:
            yield format_sse_event(event=kind_of(message), data_str=message.decode())
