"""The attacks of `bench.attack`."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

ADDRESS = "198.51.100.1"
"""The attackers' address, as a trusted proxy would report it: it is not the bystander's."""
VICTIM = {"username": "victim", "password": "correct horse battery"}


@dataclass(frozen=True, slots=True)
class Target:
    """The API under attack."""

    url: str
    metrics_url: str
    token: str
    attackers_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What authorizes the bystander."""
        return {"authorization": f"Bearer {self.token}"}

    @property
    def attackers_headers(self) -> dict[str, str]:
        """What authorizes the attacker, who is a user, too."""
        return {"authorization": f"Bearer {self.attackers_token}"}


Attack = Callable[[httpx.AsyncClient, Target], Coroutine[Any, Any, None]]


def run(name: str, target: Target) -> None:
    """Attack until killed."""
    os.nice(10)

    async def attack() -> None:
        limits, headers = httpx.Limits(max_connections=None), {"x-forwarded-for": ADDRESS}
        async with httpx.AsyncClient(timeout=60, limits=limits, headers=headers) as client:
            await ATTACKS[name](client, target)

    asyncio.run(attack())


async def _repeat(connections: int, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Make the call on so many connections again and again, without a pause and whatever the answer is."""

    async def one() -> None:
        while True:
            with suppress(httpx.TransportError):
                await call()

    await asyncio.gather(*(one() for _ in range(connections)))


async def nothing(_client: httpx.AsyncClient, _target: Target) -> None:
    """Leave the API alone."""


async def guess(client: httpx.AsyncClient, target: Target) -> None:
    """Guess the victim's password."""
    guessed = VICTIM | {"password": "wrong password"}
    await _repeat(16, lambda: client.post(f"{target.url}/api/login", json=guessed))


async def guess_names(client: httpx.AsyncClient, target: Target) -> None:
    """Guess names and passwords."""
    await _repeat(
        120,
        lambda: client.post(
            f"{target.url}/api/login", json={"username": secrets.token_hex(6), "password": "wrong password"}
        ),
    )


async def scrape(client: httpx.AsyncClient, target: Target) -> None:
    """Ask for the metrics."""
    await _repeat(64, lambda: client.get(target.metrics_url))


async def fill(client: httpx.AsyncClient, target: Target) -> None:
    """Enqueue large requests."""
    url, large = f"{target.url}/api/enqueue", {"request": "x" * 250_000}
    await _repeat(16, lambda: client.post(url, json=large, headers=target.attackers_headers))


async def read_nothing(client: httpx.AsyncClient, target: Target) -> None:
    """Ask for a page of large jobs on 20 connections again and again, and read nothing of it."""
    large = {"request": "x" * 200_000}
    for _ in range(40):
        await client.post(f"{target.url}/api/enqueue", json=large, headers=target.attackers_headers)
    host, _, port = target.url.removeprefix("http://").partition(":")
    head = f"GET /api/jobs?limit=100 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {target.attackers_token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    while True:
        held = []
        for _ in range(20):
            connection = socket.socket()
            connection.setblocking(False)
            with suppress(OSError):
                await loop.sock_connect(connection, (host, int(port)))
                await loop.sock_sendall(connection, head)
            held.append(connection)
        await asyncio.sleep(2)
        for connection in held:
            connection.close()


ATTACKS: dict[str, Attack] = {
    "none": nothing,
    "16 guess the user's password": guess,
    "120 guess any name and password": guess_names,
    "64 scrape the metrics": scrape,
    "20 read nothing": read_nothing,
    "16 enqueue 250 kB each": fill,
}
