"""A load of many users, as a process of its own: `python -m chaos.clients.load PLAN` (JSON). It prints a line when all users have
begun, goes on until its standard input is closed, and prints what it was told as JSON.

`Load` is the other end: it starts that process and stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import jwt
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chaos.clients.client import Client, Told, http_client
from chaos.clients.service import Service
from chaos.system.programs import ROOT

SIGN_UPS_AT_ONCE = 4
END_SECONDS = 90.0
CONNECT_SECONDS = 10.0
"""How long it may still take at the end until a first live connection has been opened, where there should be some."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`rate`: requests a second in all. `live`: part of the users who hold a live connection. `calm`: only single short requests
    without a key, each sent once, so that every answer that is no 200 is a failed request. `secret`: sign the tokens of the users
    here instead of registering them and logging in, which costs a tenth of a second of a processor for each."""

    urls: list[str]
    records: str
    users: list[str]
    rate: float
    seed: int
    live: float = 0.3
    calm: bool = False
    secret: str | None = None


class Load:
    """The process with the clients."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._log = Path(plan.records).parent / "load.log"
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.clients.load", orjson.dumps(asdict(plan)).decode()],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self._process.wait(END_SECONDS)
            raise AssertionError(self._log.read_text(errors="replace")[-3000:])

    def stop(self) -> Told:
        """What its clients were told."""
        try:
            output, _ = self._process.communicate(timeout=END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0, self._log.read_text(errors="replace")[-3000:]
        return Told(**orjson.loads(output))


def signed(secret: str, user: str, *, role: str = "user") -> str:
    """A token as a log-in would give it."""
    now = time.time()
    claims = {"sub": user, "role": role, "iat": now, "exp": int(now) + 3600, "jti": os.urandom(16).hex()}
    return jwt.encode(claims, secret, "HS256", headers={"kid": "1"})


def a_request(random: Random) -> tuple[str, dict[str, Any]]:
    """Most are short, some are long, some fail."""
    match random.choices(range(6), (50, 38, 6, 3, 1, 2))[0]:
        case 0:
            return "work", {"ms": random.randrange(20)}
        case 1:
            return "wait", {"ms": random.randrange(300)}
        case 2:
            return "fail", {"times": random.randrange(1, 3)}
        case 3:
            return "refuse", {}
        case 4:
            return "work", {"ms": random.randrange(200, 800)}
        case _:
            return "wait", {"ms": random.randrange(500, 3000)}


async def _act(client: Client, over: asyncio.Event, *, calm: bool) -> None:
    random = client.random
    if calm:
        await client.send([("work", {"ms": 1})], keyed=False)
        return
    what = random.random()
    if what < 0.7:
        await client.send([a_request(random)], keyed=random.random() < 0.8, until=over)
    elif what < 0.95:
        count = random.randrange(2, 8)
        await client.send([a_request(random) for _ in range(count)], keyed=random.random() < 0.9, until=over)
    elif client.recent:
        await client.cancel(random.choice(client.recent))


async def _send_until(over: asyncio.Event, client: Client, pause_seconds: float, *, calm: bool) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), client.random.expovariate(1 / pause_seconds))
        if not over.is_set():
            await _act(client, over, calm=calm)


async def _stay_connected(client: Client, opened: asyncio.Event) -> None:
    """Hold a live connection, and come back whenever it breaks. `opened` tells that there was one at all."""
    while True:
        url = client.service.url().replace("http:", "ws:") + "/api/connect"
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            async with connect(url, additional_headers=client.headers, open_timeout=2) as socket:
                opened.set()
                async for _ in socket:
                    pass
        await asyncio.sleep(0.3)


async def _sign_up(client: Client, at_once: asyncio.Semaphore, secret: str | None) -> None:
    if secret is not None:
        client.token = signed(secret, client.name)
        return
    async with at_once:
        await client.sign_up()


async def _run(plan: Plan) -> Told:
    random, told, over = Random(plan.seed), Told(), asyncio.Event()
    service = Service(plan.urls, random)
    loop = asyncio.get_running_loop()
    async with http_client() as http:
        clients = [
            Client(name, service, http, Path(plan.records), told, Random(f"{plan.seed} {name}"))
            for name in plan.users
        ]
        at_once = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
        await asyncio.gather(*(_sign_up(client, at_once, plan.secret) for client in clients))
        sys.stdout.write("ready\n")
        sys.stdout.flush()

        def wait_for_end() -> None:
            sys.stdin.read()
            loop.call_soon_threadsafe(over.set)

        threading.Thread(target=wait_for_end, daemon=True).start()
        connected = clients[: int(len(clients) * plan.live)]
        beside = [asyncio.create_task(service.probe_for_ever())]
        opened = asyncio.Event()
        beside += [asyncio.create_task(_stay_connected(client, opened)) for client in connected]
        pause_seconds = len(clients) / plan.rate
        await asyncio.gather(
            *(_send_until(over, client, pause_seconds, calm=plan.calm) for client in clients)
        )
        if connected:  # whatever breaks them is suppressed: that none ever came about must not be
            await asyncio.wait_for(opened.wait(), CONNECT_SECONDS)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    return told


def main() -> None:
    plan = Plan(**orjson.loads(sys.argv[1]))
    told = asyncio.run(_run(plan))
    sys.stdout.write(orjson.dumps(asdict(told)).decode() + "\n")


if __name__ == "__main__":
    main()
