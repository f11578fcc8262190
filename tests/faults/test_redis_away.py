"""With Redis away, refusing or silent, the API answers 503 within a second, accumulates nothing, and resumes by itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chaos.clients.client import PASSWORD
from chaos.clients.tokens import authorization
from chaos.system.procfs import footprint
from chaos.system.programs import wait_for
from chaos.system.proxy import Proxy
from chaos.system.system import System, get

pytestmark = [pytest.mark.timeout(200), pytest.mark.timing, pytest.mark.usefixtures("tools")]
CLIENTS = 20
AWAY_SECONDS = 6.0
ANSWER_SECONDS, SLOWEST_SECONDS = 1.0, 1.5
"""For 19 in 20 answers, and for all of them: the clients share two processors with the API and with other tests."""
MORE_MEMORY = 30_000_000
MORE_FILES = 2 * CLIENTS
"""Open files are connections of clients and connections to Redis."""
RESUME_SECONDS = 3.0
SETTLED_SECONDS = 5.0


@dataclass(slots=True)
class Answers:
    """The answers to all clients, and how long each took."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def system(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("away"), apis=1, workers=1).running() as system:
        yield system


def _refuse(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.reset()


async def _send_for(system: System, seconds: float) -> Answers:
    """Let many clients enqueue and read their queues all the time."""
    answers, until = Answers(), time.monotonic() + seconds

    async def client(http: httpx.AsyncClient, number: int) -> None:
        headers = authorization(system.secret, f"user{number}")
        while time.monotonic() < until:
            begun = time.monotonic()
            if number % 3:
                body = {"type": "echo", "request": number}
                answer = await http.post("/api/enqueue", json=body, headers=headers)
            else:
                answer = await http.get("/api/queue", headers=headers)
            answers.seconds.append(time.monotonic() - begun)
            answers.statuses[answer.status_code] += 1
            await asyncio.sleep(
                0.2
            )  # a client's pause: this does not measure how many requests can be refused

    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=system.urls[0], timeout=10, limits=limits) as http:
        await asyncio.gather(*(client(http, number) for number in range(CLIENTS)))
    return answers


@pytest.mark.parametrize("away", [_refuse, Proxy.stall], ids=["refuses", "silent"])
def test_redis_away_is_503_within_a_second_and_nothing_accumulates(
    system: System, away: Callable[[Proxy], None]
) -> None:
    (api,) = system.apis
    proxy = system.proxies[api.name]
    assert set(asyncio.run(_send_for(system, 2)).statuses) == {200}
    before, connections = footprint(api.pids()), proxy.connections()

    away(proxy)
    early = asyncio.run(_send_for(system, AWAY_SECONDS / 2))
    middle = footprint(api.pids())
    late = asyncio.run(_send_for(system, AWAY_SECONDS / 2))
    wait_for(  # the API may not have closed connections yet that its clients closed
        lambda: footprint(api.pids()).files <= middle.files + 10,
        SETTLED_SECONDS,
        "the number of open files does not grow with time",
    )
    after = footprint(api.pids())
    ready, alive = get(f"{api.url}/readyz")[0], get(f"{api.url}/healthz")[0]

    proxy.heal()
    begun = time.monotonic()
    headers = authorization(system.secret, "back")
    body = {"type": "echo", "request": 1}
    wait_for(
        lambda: httpx.post(f"{api.url}/api/enqueue", json=body, headers=headers).status_code == 200,
        RESUME_SECONDS,
        "requests are accepted again",
    )
    seconds = sorted(early.seconds + late.seconds)
    p95 = seconds[len(seconds) * 19 // 20]
    print(
        f"503 after {p95:.2f} s (19 of 20), slowest {seconds[-1]:.2f} s, accepted again after {time.monotonic() - begun:.2f} s, "
        f"before {before}, {connections} connections to Redis, while away {after}"
    )
    assert set(early.statuses) == set(late.statuses) == {503}
    assert p95 < ANSWER_SECONDS
    assert seconds[-1] < SLOWEST_SECONDS
    assert (ready, alive) == (503, 200)
    assert after.memory_bytes < before.memory_bytes + MORE_MEMORY
    assert after.threads <= before.threads
    assert after.files <= before.files + MORE_FILES
    assert set(asyncio.run(_send_for(system, 1)).statuses) == {200}
    assert proxy.connections() <= max(connections, 2 * api.processes * 10)


def test_users_can_register_and_log_in_without_redis(system: System, tmp_path: Path) -> None:
    """MongoDB holds the users. Their tokens work once Redis is back."""
    (api,) = system.apis
    proxy = system.proxies[api.name]
    proxy.stall()
    try:
        body = {"username": "newcomer", "password": PASSWORD}
        assert httpx.post(f"{api.url}/api/register", json=body).status_code == 201
        token = httpx.post(f"{api.url}/api/login", json=body).raise_for_status().json()["token"]
    finally:
        proxy.heal()
    headers = {"Authorization": f"Bearer {token}"}
    job = {"type": "echo", "request": 1}
    wait_for(
        lambda: httpx.post(f"{api.url}/api/enqueue", json=job, headers=headers).status_code == 200,
        RESUME_SECONDS,
        "the token works",
    )
