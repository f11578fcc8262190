"""How long a body may take to arrive, with or without a first byte."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from laneway.api import body
from laneway.api.problem import Problem

JSON = [(b"content-type", b"application/json")]


def read(monkeypatch: pytest.MonkeyPatch, *messages: Message) -> bytes:
    """Read the body of a client that sends these messages and then nothing more."""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return asyncio.run(body.read(JSON, receive, 100))


def piece(data: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


@pytest.mark.parametrize("messages", [(), (piece(b""),), (piece(b'{"a"'),), (piece(b"{"), piece(b"}"))])
def test_a_body_that_does_not_arrive_times_out(
    monkeypatch: pytest.MonkeyPatch, messages: tuple[Message, ...]
) -> None:
    with pytest.raises(Problem) as caught:
        read(monkeypatch, *messages)
    assert (caught.value.status, caught.value.slug) == (408, "too-slow")
    assert caught.value.headers == {"connection": "close"}


def test_pieces_of_a_body_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, piece(b'{"a"'), piece(b":1}", more=False)) == b'{"a":1}'
    assert read(monkeypatch, piece(b"{}", more=False)) == b"{}"
