"""Requests by the ten thousand: a client that does nothing but send bodies and take ids, at some 100 us a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Sending:
    """What one user sends at once: one request, or several as a batch."""

    token: str
    type: str
    payloads: tuple[object, ...]


def enqueue(urls: list[str], sendings: Iterable[Sending], connections: int = CONNECTIONS) -> list[str]:
    """Send all of them, over some connections to the APIs in turn; the ids of all jobs. Raises AssertionError for any answer but 200."""
    todo, ids = iter(sendings), list[str]()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(connections):
                group.create_task(_send(urls[number % len(urls)], todo, ids))

    asyncio.run(run())
    return ids


async def _send(url: str, todo: Iterator[Sending], ids: list[str]) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for sending in todo:  # shared: each connection takes the next one
            jobs = [{"type": sending.type, "request": payload} for payload in sending.payloads]
            single = len(jobs) == 1
            body = orjson.dumps(jobs[0] if single else {"requests": jobs})
            head = (
                f"POST /api/enqueue{'' if single else '/batch'} HTTP/1.1\r\nHost: queue\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {sending.token}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = await reader.readexactly(length)
            assert answer.startswith(b"http/1.1 200 "), (answer, content)
            found = orjson.loads(content)
            ids += [found["job_id"]] if single else found["job_ids"]
    finally:
        writer.close()
