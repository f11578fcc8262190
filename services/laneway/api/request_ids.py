"""Gives each request an id, by which its log lines, its answer and its problem documents are found."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Iterable
from itertools import count
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laneway.telemetry.request_id import request_id

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


def identified(app: ASGIApp) -> ASGIApp:
    """Wrap an app so that each request has an id: the one in `X-Request-ID` if it is well-formed, else a new one.

    A new one is a random text, the same for all requests of this process, and a number.
    """
    process, numbers = secrets.token_hex(6).encode(), count(1)

    def identified_app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return app(scope, receive, send)
        current = _sent_id(scope["headers"]) or b"%b-%x" % (process, next(numbers))
        request_id.set(current.decode())

        def identified_send(message: Message) -> Any:
            if message["type"] in _STARTS:
                message["headers"] = [*message.get("headers", ()), (HEADER, current)]
            return send(message)

        return app(scope, receive, identified_send)

    return identified_app


def _sent_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == HEADER:
            return value if _ACCEPTED.fullmatch(value) else None
    return None
