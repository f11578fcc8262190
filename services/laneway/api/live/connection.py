"""One live connection: its queue of messages, and why it is closed."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from laneway.api.live.message import MISSED, Message
from laneway.api.tokens import Token
from laneway.lanes.events import position

MAX_WAITING = 500
"""Messages that wait for a slow client, more than a backlog has. Beyond that all of them are replaced by MISSED."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a connection is closed. `code` is a WebSocket close code."""

    code: int
    reason: str


SERVER_STOPS = Closing(1012, "the server restarts; connect again")
LOGGED_OUT = Closing(1008, "logged out")
TOKEN_EXPIRED = Closing(1008, "the token has expired; log in and connect again")


class Connection:
    """One client's open connection. `id` is `<token id>:<random>`, as presence expects it.

    `is_presence`: the user is connected while it is open. Otherwise it only watches.
    """

    def __init__(self, token: Token, *, is_presence: bool) -> None:
        self.user = token.user
        self.token = token
        self.is_presence = is_presence
        self.id = f"{token.token_id}:{secrets.token_hex(8)}"
        self.closing: Closing | None = None
        self._messages: deque[Message] = deque()
        self._early: list[Message] | None = []
        self._newest = (0, 0)
        self._wake = asyncio.Event()

    def begin(self, messages: Iterable[Message], newest: str) -> None:
        """Send these first, then what was offered meanwhile. `newest`: the last entry of the backlog that they cover."""
        early, self._early = self._early or [], None
        self._newest = position(newest) if newest else (0, 0)
        for message in messages:
            self._queue(message)
        for message in early:
            self.offer(message)

    def offer(self, message: Message) -> None:
        """Queue a message. Never waits: a client that reads too slowly loses messages and gets MISSED instead."""
        if self._early is not None:
            self._early.append(message)
        elif not message.entry or message.position > self._newest:
            self._queue(message)

    def _queue(self, message: Message) -> None:
        if len(self._messages) >= MAX_WAITING:
            self._messages.clear()
            message = MISSED
        self._messages.append(message)
        self._wake.set()

    def close(self, closing: Closing) -> None:
        """Ask for the connection to be closed. The first reason counts; messages that wait are dropped."""
        self.closing = self.closing or closing
        self._wake.set()

    async def next(self, seconds: float) -> Message | Closing | None:
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
