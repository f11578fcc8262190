"""Enqueue over HTTP: our API beside a plain FastAPI endpoint with one EVALSHA a request, each as one process, in the same run.

    python -m bench.enqueue [--seconds 3] [--rounds 3] [--connections 64] [--schema]

The plain endpoint is written as the documentation of FastAPI, PyJWT and redis-py suggests: a model for the body, the token verified
for every request, an awaited script call. It runs the same script, so both leave the same job in the lane. Ours also writes its log
line and its metrics. The rounds alternate and the best of each counts, because other programs can only slow them down.

With `--schema`, ours is measured beside itself instead: a request of ten fields whose type has a schema, and one whose type has none.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import uvloop

from bench.processes import cpu_seconds, descendants
from laneway.dev import embedded
from laneway.dev.embedded import free_port

SECRET = "a secret for measurements, 32 bytes"
USERS = 50
BODY = b'{"request":{"text":"hello world","n":1}}'
TEN_FIELDS = (
    b'{"type":"%b","request":{"name":"hello world","n":1,"ratio":0.5,"is_new":true,"tags":["a","b"],'
    b'"size":{"width":3,"height":4},"at":"2026-01-02T03:04:05Z","price":"1.10","mode":"fast","note":null}}'
)
PLAIN = """
import os, secrets
from typing import Annotated, Any
import jwt, redis.asyncio, uvicorn
import orjson
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from laneway.lanes.commands import Enqueue, EnqueueLimits
from laneway.lanes.keys import Keys
from laneway.lanes.model import NewJob
from laneway.lanes.scripts import load
from laneway.lanes.store import connect

url, secret = os.environ["LANEWAY_REDIS_URL"], os.environ["LANEWAY_JWT_SECRET"]
app, client, script = FastAPI(), redis.asyncio.Redis.from_url(url), load("enqueue")
connect(url).script_load(script.text)
prefix = Keys("plain").prefix
limits = EnqueueLimits(lane_length=100_000_000)

class Body(BaseModel):
    request: Any
    type: str = "echo"

@app.post("/api/enqueue")
async def enqueue(body: Body, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
    try:
        claims = jwt.decode(credentials.credentials, secret, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401)
    job = NewJob(secrets.token_hex(6), body.type, orjson.dumps(body.request), 3)
    args = Enqueue(claims["sub"], (job,), limits, token_id=claims["jti"]).args()
    reply = await client.evalsha(script.sha, 1, prefix, *args)
    return {"message": "accepted", "job_id": reply[2].decode(), "position": reply[1]}

uvicorn.run(app, port=int(os.environ["LANEWAY_API_PORT"]), loop="uvloop", http="httptools", access_log=False, log_level="error")
"""


def main() -> None:
    """Measure both in turn and print the ratio of their best rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--schema", action="store_true")
    options = parser.parse_args()
    ours = ["-m", "laneway.api"]
    contenders = {"plain": (["-c", PLAIN], BODY), "ours": (ours, BODY)}
    if options.schema:
        contenders = {name: (ours, TEN_FIELDS % name.encode()) for name in ("untyped", "typed")}
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.valkey(Path(folder), appendfsync="everysec") as server,
    ):
        best = dict.fromkeys(contenders, (0.0, 0.0))
        for number in range(options.rounds):
            for name, (command, body) in contenders.items():
                with serving(command, server.url, f"bench{number}") as (port, _, pid):
                    rate, cpu_us = measure(port, pid, options.seconds, options.connections, body)
                print(
                    f"round {number + 1}  {name:7} {rate:8.0f} requests/s  {cpu_us:6.0f} us of the process per request"
                )
                best[name] = max(best[name], (rate, cpu_us))
    (first, (first_rate, first_us)), (second, (second_rate, second_us)) = best.items()
    print(
        f"{second} / {first}: {second_rate / first_rate:.2g} times the requests, "
        f"{second_us / first_us:.2f} of the processor time each"
    )


@contextmanager
def serving(
    command: list[str], redis_url: str, prefix: str, *, processes: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Start a server, and yield its port, the pid of its parent process and that of a process that answers."""
    port = free_port()
    environment = {
        "LANEWAY_REDIS_URL": redis_url,
        "LANEWAY_MONGO_URL": "mongodb://127.0.0.1:1",  # enqueue does not need it
        "LANEWAY_JWT_SECRET": SECRET,
        "LANEWAY_KEY_PREFIX": prefix,
        "LANEWAY_API_PORT": str(port),
        "LANEWAY_API_METRICS_PORT": "0",
        "LANEWAY_API_PROCESSES": str(processes),
        "LANEWAY_LANE_LENGTH": "100000000",
        "LANEWAY_HANDLERS": "laneway.handlers.demo,bench.typed_handlers",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
    process = subprocess.Popen(
        [sys.executable, *command], env=inherited | environment, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                asyncio.run(load(port, 0.05, 1, BODY))
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield port, process.pid, max([process.pid, *descendants(process.pid)])
    finally:
        process.terminate()
        process.wait()


def measure(port: int, pid: int, seconds: float, connections: int, body: bytes) -> tuple[float, float]:
    """Return requests a second, and microseconds of the serving process for each request."""
    asyncio.run(load(port, 0.5, connections, body))
    before, started = cpu_seconds(pid), time.perf_counter()
    with multiprocessing.Pool(1) as pool:  # clients on another processor, if the machine has one
        count = pool.apply(drive, (port, seconds, connections, body))
    return count / (time.perf_counter() - started), (cpu_seconds(pid) - before) / count * 1e6


def drive(port: int, seconds: float, connections: int, body: bytes) -> int:
    """Run `load` in an event loop of its own."""
    return uvloop.run(load(port, seconds, connections, body))


async def load(port: int, seconds: float, connections: int, body: bytes) -> int:
    """Return the number of requests answered with 200 within `seconds`. Raises AssertionError for any other answer."""
    deadline = time.perf_counter() + seconds

    async def client(number: int) -> int:
        claims = {
            "sub": f"user{number % USERS}",
            "role": "user",
            "iat": time.time(),
            "exp": time.time() + 3600,
            "jti": f"t{number}",
        }
        token = jwt.encode(claims, SECRET, "HS256", headers={"kid": "1"})
        request = (
            f"POST /api/enqueue HTTP/1.1\r\nHost: laneway\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < deadline:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200 "), head
            start = head.index(b"content-length:") + 15
            await reader.readexactly(int(head[start : head.index(b"\r", start)]))
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*map(client, range(connections))))


if __name__ == "__main__":
    main()
