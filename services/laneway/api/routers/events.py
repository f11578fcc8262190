"""Live connections: while one is open its user is connected, and hears what becomes of own jobs (of a quick one there is no
`running`: it has ended before anybody could be told).

Messages are JSON objects: `{"event": "connected", "user", "heartbeat_seconds"}` first; then `{"event": "state", "job_id", "state", "attempts"}`,
`{"event": "progress", "job_id", "percent", "note"}`, and `{"event": "missed"}` when some could not be delivered.

Tokens: in the Authorization header; from browsers, whose WebSocket and EventSource cannot send it, as a subprotocol `bearer.<token>` beside
the subprotocol `laneway`, or for server-sent events as the query parameter `access_token`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket
from fastapi.responses import Response
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from laneway.api.deps import PROBLEM, Sys, problems, system_of
from laneway.api.errors import Problem, problem_of
from laneway.api.live import Closing, Connection, Live, event_name
from laneway.api.security import Token
from laneway.api.system import System

router = APIRouter(prefix="/api", tags=["live"])
SUBPROTOCOL = "laneway"
_BEARER = "bearer."


@router.websocket("/connect")
async def connect(socket: WebSocket) -> None:
    system = system_of(socket.scope)
    offered = socket.scope.get("subprotocols", [])
    try:
        connection = await _join(system, _authorization(socket, offered))
    except Exception as error:  # noqa: BLE001 - problem_of logs what was not foreseen
        await socket.send_denial_response(problem_of(error).response())
        return
    try:
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        closing = await _pump(
            system.live, connection, _until_closed(socket), lambda text: socket.send_text(text.decode())
        )
        if closing:
            await socket.close(closing.code, closing.reason)
    finally:
        system.live.leave(connection)


@router.get(
    "/connect",
    status_code=426,
    response_class=Response,
    responses={426: {"description": "It was asked without an upgrade.", **PROBLEM}},
)
async def connect_without_upgrade() -> Response:
    """Open it as a WebSocket: the user is connected as long as one is open, and hears what becomes of own jobs, as JSON messages
    `connected`, `state`, `progress`, `missed`. The token goes in the header `Authorization`, or in a subprotocol
    `bearer.<token>` beside the subprotocol `laneway`."""
    raise Problem(426, "upgrade-required", "open it as a WebSocket", headers={"upgrade": "websocket"})


def _authorization(socket: WebSocket, offered: list[str]) -> bytes:
    for protocol in offered:
        if protocol.startswith(_BEARER):
            return b"Bearer " + protocol.removeprefix(_BEARER).encode()
    return socket.headers.get("authorization", "").encode("latin-1")


async def _until_closed(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass  # clients have nothing to say


class _Stream(Response):
    """Server-sent events of one connection."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, connection: Connection) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._live, self._connection = live, connection

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async def until_closed() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def write(message: bytes | None) -> None:
            text = b": still here\n\n"
            if message is not None:
                text = b"event: %b\ndata: %b\n\n" % (event_name(message).encode(), message)
            await send({"type": "http.response.body", "body": text, "more_body": True})

        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _pump(self._live, self._connection, until_closed(), write, idle=lambda: write(None))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._live.leave(self._connection)


@router.get(
    "/events",
    status_code=200,
    response_class=_Stream,
    responses={**problems(400, 401, 429, 503), 200: {"content": {"text/event-stream": {}}}},
    openapi_extra={"security": [{"HTTPBearer": []}]},
)
async def events(
    request: Request,
    system: Sys,
    access_token: Annotated[
        str, Query(max_length=4096, description="The token, where no header can be sent.")
    ] = "",
) -> Response:
    """Server-sent events (see above for WebSocket). Ends when the token does: reconnect with a new one."""
    authorization = b"Bearer " + access_token.encode() if access_token else b""
    connection = await _join(
        system, authorization or request.headers.get("authorization", "").encode("latin-1")
    )
    return _Stream(system.live, connection)


async def _join(system: System, authorization: bytes) -> Connection:
    token: Token = system.tokens.verify(authorization)
    await system.revocations.check(token)
    return await system.live.join(token)


async def _pump(
    live: Live,
    connection: Connection,
    until_closed: Awaitable[None],
    write: Callable[[bytes], Awaitable[None]],
    *,
    idle: Callable[[], Awaitable[None]] | None = None,
) -> Closing | None:
    """Write the connection's messages until the client has closed (None), or it is to be closed."""

    async def write_all() -> Closing:
        while True:
            message = await connection.next(live.heartbeat_seconds)
            if isinstance(message, Closing):
                return message
            if message is not None:
                await write(message)
            elif idle is not None:
                await idle()

    writing = asyncio.ensure_future(write_all())
    closed = asyncio.ensure_future(until_closed)
    try:
        await asyncio.wait({writing, closed}, return_when=asyncio.FIRST_COMPLETED)
        return writing.result() if writing.done() and not closed.done() else None
    finally:
        for task in (writing, closed):
            task.cancel()
        await asyncio.gather(writing, closed, return_exceptions=True)
