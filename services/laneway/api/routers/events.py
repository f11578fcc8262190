"""Live connections, on which users receive what happens to their own jobs.

`GET /api/events` only watches. `GET /api/connect` is presence as well: its user is connected while it is open. Each is either a
stream of server-sent events or, with an upgrade, a WebSocket, and sends the same JSON objects:

- `{"event": "connected", "id", "user", "heartbeat_seconds", "on_disconnect"}` comes first. `on_disconnect` is null for a connection
  that only watches. For presence it is `{"policy", "grace_seconds"}`: what happens to the user's lane when no such connection is open
  for so many seconds.
- `{"event": "state", "id", "job_id", "state", "attempts"}` and `{"event": "progress", "id", "job_id", "percent", "note"}`. A job
  that ends very quickly has no message for the state `running`.
- `{"event": "log", "job_id", "attempt", "lines"}`: lines that a running job has logged, as in `GET /api/jobs/{job_id}/logs`, a few
  times a second. They have no `id` and are not repeated for a client that comes back: it reads the log. A run that ends within
  0.2 s has none, and neither have the lines of the last moment of any run.
- `{"event": "missed"}` when messages were lost: read the state of the jobs again.

A client that comes back within a minute sends the last `id` that it received, in the header Last-Event-ID or as the query parameter
`last_event_id`. It receives what it missed, from whatever process it reaches, or `missed` if that is more than some 300 messages.

The token is sent in the Authorization header. Browsers cannot set it for a WebSocket or an EventSource: a WebSocket may send
the token as a subprotocol `bearer.<token>` beside the subprotocol `laneway`, an event stream as the query parameter
`access_token`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response, WebSocket
from fastapi.sse import format_sse_event
from starlette.requests import Request
from starlette.responses import StreamingResponse

from laneway.api.deps import Sys, problems, system_of, verified
from laneway.api.errors import problem_of
from laneway.api.live.connection import Closing, Connection
from laneway.api.system import System
from laneway.api.tokens import authorization_of
from laneway.scopes import Scope

router = APIRouter(prefix="/api", tags=["live"])
CONNECT, EVENTS = "/api/connect", "/api/events"
SUBPROTOCOL = "laneway"
_BEARER = "bearer."
LastEventId = Annotated[
    str, Query(max_length=64, description="As the header Last-Event-ID, for clients that cannot set headers.")
]


async def _join(system: System, authorization: bytes, path: str, after: str) -> Connection:
    token = await verified(system, authorization)
    is_presence = path == CONNECT
    token.require(Scope.WRITE if is_presence else Scope.READ)  # the end of presence empties the lane
    return await system.hub.join(token, is_presence=is_presence, after=after)


# -- WebSocket ----------------------------------------------------------------------------------------------------


@router.websocket("/connect")
async def connect_socket(socket: WebSocket, last_event_id: LastEventId = "") -> None:
    """Serve a live connection that is presence."""
    await _serve(socket, CONNECT, last_event_id)


@router.websocket("/events")
async def watch_socket(socket: WebSocket, last_event_id: LastEventId = "") -> None:
    """Serve a live connection that only watches."""
    await _serve(socket, EVENTS, last_event_id)


async def _serve(socket: WebSocket, path: str, last_event_id: str) -> None:
    """Serve until the client closes the connection, its token ends, or the process does."""
    system = system_of(socket.scope)
    offered = socket.scope.get("subprotocols", [])
    after = socket.headers.get("last-event-id", last_event_id)
    try:
        connection = await _join(system, _authorization(socket, offered), path, after)
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
            await socket.send_text(message.text.decode())


async def _read(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


# -- server-sent events -------------------------------------------------------------------------------------------


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"


_STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""The second keeps nginx from collecting events before it passes them on."""
_PROBLEMS = problems(400, 401, 403, 429, 503)
_SECURITY: dict[str, Any] = {"security": [{"HTTPBearer": []}]}


async def _joined(
    request: Request,
    system: Sys,
    access_token: Annotated[
        str, Query(max_length=4096, description="The token, for clients that cannot set headers.")
    ] = "",
    last_event_id: LastEventId = "",
    last_event_id_header: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            max_length=64,
            description="`id` of the last message that the client received: it gets what came after it.",
        ),
    ] = None,
) -> AsyncIterator[Connection]:
    """A connection that lasts as long as the answer."""
    if access_token:
        authorization = b"Bearer " + access_token.encode()
    else:
        authorization = authorization_of(request.scope["headers"])
    after = last_event_id if last_event_id_header is None else last_event_id_header
    connection = await _join(system, authorization, request.scope["route"].path, after)
    try:
        yield connection
    finally:
        system.hub.leave(connection)


Joined = Annotated[Connection, Depends(_joined)]


@router.get("/connect", response_class=_EventStream, responses=_PROBLEMS, openapi_extra=_SECURITY)
async def connect(connection: Joined, system: Sys) -> Response:
    """Be connected while this is open, and receive what happens to your jobs, as server-sent events or a WebSocket.

    Open it only for a person or program whose absence should end the waiting jobs. To watch, open `/api/events`.
    """
    return _stream(connection, system)


@router.get("/events", response_class=_EventStream, responses=_PROBLEMS, openapi_extra=_SECURITY)
async def watch(connection: Joined, system: Sys) -> Response:
    """Receive what happens to your jobs, as server-sent events or a WebSocket. Watching is not presence: closing it changes nothing.

    The stream ends with the token: connect again with a new one.
    """
    return _stream(connection, system)


def _stream(connection: Connection, system: System) -> Response:
    return _EventStream(_messages(connection, system.hub.heartbeat_seconds), headers=_STREAM_HEADERS)


async def _messages(connection: Connection, heartbeat_seconds: float) -> AsyncIterator[bytes]:
    while True:
        message = await connection.next(heartbeat_seconds)
        if isinstance(message, Closing):
            return
        if message is None:
            yield format_sse_event(comment="still here")
        else:
            yield format_sse_event(
                event=message.kind, id=message.entry or None, data_str=message.text.decode()
            )
