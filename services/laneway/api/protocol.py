"""What a connection may do before any application sees it: the limits on a request's head and on what follows its answer.

How the limits are kept is in `laneway.compat.uvicorn`. The parser's refusals are problem documents, like all others.
"""

from __future__ import annotations

from http import HTTPStatus

from laneway.api.problem import MEDIA_TYPE, Problem
from laneway.compat.uvicorn import GuardedProtocol

HEAD_BYTES = 65_536
"""More than common servers and proxies accept."""
HEAD_SECONDS = 10.0
LINGER_BYTES, LINGER_SECONDS = 16_000_000, 5.0
"""What is read of a body after its answer, so that clients that send first and read then get the answer."""
LAST_SECONDS = 0.5
"""For a client that has just connected when the API ends, or is just sending its next request."""

UNREAD_HEARTBEATS = 2
"""Heartbeats for which a client may leave what it was sent unread, or the ping of a WebSocket unanswered. The next heartbeat notices
a vanished client, so it is gone after about three."""


def _answer(problem: Problem) -> bytes:
    """The whole answer. The connection is closed after it."""
    body = problem.body()
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


class LimitedProtocol(GuardedProtocol):
    """One connection to the API."""

    HEAD_BYTES = HEAD_BYTES
    HEAD_SECONDS = HEAD_SECONDS
    LINGER_BYTES = LINGER_BYTES
    LINGER_SECONDS = LINGER_SECONDS
    LAST_SECONDS = LAST_SECONDS
    HEAD_TOO_LARGE = _answer(
        Problem(431, "head-too-large", f"the request line and headers may have {HEAD_BYTES} bytes together")
    )
    MALFORMED = _answer(Problem(400, "malformed-http", "the request is not valid HTTP/1.1"))
    WRONG_HOST = _answer(Problem(400, "malformed-http", "an HTTP/1.1 request has exactly one Host header"))
