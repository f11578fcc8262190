"""One live connection: its queue of messages, and why it is closed."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import orjson

from laneway.api.tokens import Token

MAX_WAITING = 500
"""Messages that wait for a slow client. Beyond that all of them are replaced by MISSED."""
MISSED = orjson.dumps({"event": "missed"})
"""Tells the client that it lost events and has to ask for the state of its jobs."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a connection is closed. `code` is a WebSocket close code."""

    code: int
    reason: str


SERVER_STOPS = Closing(1012, "the server restarts; connect again")
LOGGED_OUT = Closing(1008, "logged out")
TOKEN_EXPIRED = Closing(1008, "the token has expired; log in and connect again")


class Connection:
    """One client's open connection. `id` is `<token id>:<random>`, as presence expects it."""

    def __init__(self, token: Token) -> None:
        self.user = token.user
        self.token = token
        self.id = f"{token.token_id}:{secrets.token_hex(8)}"
        self.closing: Closing | None = None
        self._messages: deque[bytes] = deque()
        self._wake = asyncio.Event()

    def offer(self, message: bytes) -> None:
        """Queue a message. Never waits: a client that reads too slowly loses messages and is told so by MISSED."""
        if len(self._messages) >= MAX_WAITING:
            self._messages.clear()
            message = MISSED
        self._messages.append(message)
        self._wake.set()

    def close(self, closing: Closing) -> None:
        """Ask for the connection to be closed. The first reason counts; messages that wait are dropped."""
        self.closing = self.closing or closing
        self._wake.set()

    async def next(self, seconds: float) -> bytes | Closing | None:
        """Wait for the next message, or for the closing. None when `seconds` have passed without either."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        if self.closing:
            return self.closing
        message = self._messages.popleft() if self._messages else None
        if not self._messages:
            self._wake.clear()
        return message


def kind_of(message: bytes) -> str:
    """Return the kind of a message, for example `state`."""
    return str(orjson.loads(message)["event"])
