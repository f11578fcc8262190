"""A load of many users in a process of its own.

`Load` starts the process (`python -m chaos.clients.load PLAN`, a plan as JSON) and stops it. The process prints a line when all users
are signed up, runs until its standard input is closed, and prints its answer statistics as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chaos.clients.client import AnswerStats, Client, Request, http_client
from chaos.clients.service import Service
from chaos.clients.tokens import sign_token
from chaos.system.programs import ROOT

SIGN_UPS_AT_ONCE = 4
END_SECONDS = 90.0
CONNECT_SECONDS = 10.0
"""At the end of a load that has live connections, one must have been opened within this time."""
RECONNECT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What the users do.

    `rate` counts requests a second over all users. `live` is the part of the users who hold a live connection. `calm` users send
    only single short requests without a key, each once: every answer but 200 is then a failed request. With `secret`, tokens are
    signed here instead of registering the users and logging them in.
    """

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

    def __init__(self, plan: LoadPlan) -> None:
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

    def stop(self) -> AnswerStats:
        """Stop the clients and return their statistics."""
        try:
            output, _ = self._process.communicate(timeout=END_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0, self._log.read_text(errors="replace")[-3000:]
        return AnswerStats(**orjson.loads(output))


def random_request(random: Random) -> Request:
    """Return a request. Most are short, some are long, some fail."""
    choices: list[tuple[int, str, dict[str, Any]]] = [
        (50, "work", {"ms": random.randrange(20)}),
        (38, "wait", {"ms": random.randrange(300)}),
        (6, "fail", {"times": random.randrange(1, 3)}),
        (3, "refuse", {}),
        (1, "work", {"ms": random.randrange(200, 800)}),
        (2, "wait", {"ms": random.randrange(500, 3000)}),
    ]
    _, type_, payload = random.choices(choices, [weight for weight, _, _ in choices])[0]
    return type_, payload


async def _act(client: Client, stopping: asyncio.Event, *, calm: bool) -> None:
    random = client.random
    if calm:
        await client.send([("work", {"ms": 1})], keyed=False)
        return
    choice = random.random()
    if choice < 0.7:
        await client.send([random_request(random)], keyed=random.random() < 0.8, stopping=stopping)
    elif choice < 0.95:
        batch = [random_request(random) for _ in range(random.randrange(2, 8))]
        await client.send(batch, keyed=random.random() < 0.9, stopping=stopping)
    elif client.recent:
        await client.cancel(random.choice(client.recent))


async def _send_until(stopping: asyncio.Event, client: Client, pause_seconds: float, *, calm: bool) -> None:
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), client.random.expovariate(1 / pause_seconds))
        if not stopping.is_set():
            await _act(client, stopping, calm=calm)


async def _stay_connected(client: Client, opened: asyncio.Event) -> None:
    """Hold a live connection, and reconnect whenever it breaks. Sets `opened` at the first one."""
    while True:
        url = client.service.url().replace("http:", "ws:") + "/api/connect"
        with contextlib.suppress(OSError, TimeoutError, WebSocketException):
            async with connect(url, additional_headers=client.headers, open_timeout=2) as socket:
                opened.set()
                async for _ in socket:
                    pass
        await asyncio.sleep(RECONNECT_SECONDS)


async def _sign_up(client: Client, at_once: asyncio.Semaphore, secret: str | None) -> None:
    if secret is not None:
        client.token = sign_token(secret, client.name)
        return
    async with at_once:
        await client.sign_up()


def _set_at_end_of_input(event: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(event.set)

    threading.Thread(target=read, daemon=True).start()


async def _run(plan: LoadPlan) -> AnswerStats:
    random, stats, stopping = Random(plan.seed), AnswerStats(), asyncio.Event()
    service = Service(plan.urls, random)
    async with http_client() as http:
        clients = [
            Client(name, service, http, Path(plan.records), stats, Random(f"{plan.seed} {name}"))
            for name in plan.users
        ]
        at_once = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
        await asyncio.gather(*(_sign_up(client, at_once, plan.secret) for client in clients))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        _set_at_end_of_input(stopping)
        connected = clients[: int(len(clients) * plan.live)]
        opened = asyncio.Event()
        background = [asyncio.create_task(service.probe_forever())]
        background += [asyncio.create_task(_stay_connected(client, opened)) for client in connected]
        pause_seconds = len(clients) / plan.rate
        await asyncio.gather(
            *(_send_until(stopping, client, pause_seconds, calm=plan.calm) for client in clients)
        )
        if connected:  # errors of a live connection are suppressed, but one must have been opened
            await asyncio.wait_for(opened.wait(), CONNECT_SECONDS)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    return stats


def main() -> None:
    """Run the plan on the command line."""
    plan = LoadPlan(**orjson.loads(sys.argv[1]))
    stats = asyncio.run(_run(plan))
    sys.stdout.write(orjson.dumps(asdict(stats)).decode() + "\n")


if __name__ == "__main__":
    main()
