"""The HTTP client of the measurements."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bench.http_load import LoadError, answer_length, load, post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nCont", None),
        (OK, len(OK)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: y\r\n\r\n", 59),
    ],
)
def test_the_length_of_an_answer_is_known_once_its_head_is_there(received: bytes, length: int | None) -> None:
    if length == 59:
        length = len(received) + 12
    assert answer_length(received) == length


def serve(*answers: bytes) -> tuple[list[float], list[bytes]]:
    """Load a server that gives these answers, in pieces, and the last one again and again."""
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        with suppress(asyncio.IncompleteReadError):  # the client has gone
            while True:
                received.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
                whole = left.pop(0) if len(left) > 1 else left[0]
                writer.write(whole[:20])
                await writer.drain()
                writer.write(whole[20:])
        writer.close()

    async def run() -> list[float]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await load(port, [post("/x", "token", b"{}")] * 2, 1)

    return asyncio.run(run()), received


def test_each_connection_sends_its_request_again_when_it_is_answered() -> None:
    took, received = serve(OK)
    assert len(took) == len(received) > 2
    assert set(received) == {post("/x", "token", b"{}")}
    assert all(seconds > 0 for seconds in took)


def test_another_answer_than_200_ends_the_load() -> None:
    with pytest.raises(LoadError, match="503"):
        serve(OK, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
