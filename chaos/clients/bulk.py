"""Requests by the ten thousand: a client that only writes bodies and reads ids, at some 100 us a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """What one user sends in one HTTP request: one payload, or several as a batch."""

    token: str
    type: str
    payloads: tuple[object, ...]

    def encode(self) -> bytes:
        """Return the bytes of the HTTP request."""
        jobs = [{"type": self.type, "request": payload} for payload in self.payloads]
        path, content = ("enqueue", jobs[0]) if len(jobs) == 1 else ("enqueue/batch", {"requests": jobs})
        body = orjson.dumps(content)
        head = (
            f"POST /api/{path} HTTP/1.1\r\nHost: laneway\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def enqueue(urls: list[str], requests: Iterable[BulkRequest], connections: int = CONNECTIONS) -> list[str]:
    """Send all requests over some connections, spread over the APIs, and return the ids of all jobs. Raises AssertionError for
    any answer but 200."""
    todo, ids = iter(requests), list[str]()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(connections):
                group.create_task(_send(urls[number % len(urls)], todo, ids))

    asyncio.run(run())
    return ids


async def _send(url: str, todo: Iterator[BulkRequest], ids: list[str]) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for request in todo:  # shared: each connection takes the next one
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = await reader.readexactly(length)
            assert head.startswith(b"http/1.1 200 "), (head, content)
            found = orjson.loads(content)
            ids += found.get("job_ids") or [found["job_id"]]
    finally:
        writer.close()
