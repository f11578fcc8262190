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
from dataclasses import dataclass
from pathlib import Path

import jwt
import uvloop

from bench.http_load import LoadError, load, post
from bench.processes import cpu_seconds, descendants, without_settings
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
    ours = [sys.executable, "-m", "laneway.api"]
    contenders = {"plain": ([sys.executable, "-c", PLAIN], BODY), "ours": (ours, BODY)}
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
                    under = measure(port, pid, options.seconds, options.connections, body)
                print(
                    f"round {number + 1}  {name:7} {under.per_second:8.0f} requests/s  {under.cpu_us:6.0f} us of the process per request"
                )
                best[name] = max(best[name], (under.per_second, under.cpu_us))
    (first, (first_rate, first_us)), (second, (second_rate, second_us)) = best.items()
    print(
        f"{second} / {first}: {second_rate / first_rate:.2g} times the requests, "
        f"{second_us / first_us:.2f} of the processor time each"
    )


@contextmanager
def serving(
    command: list[str],
    redis_url: str,
    prefix: str,
    *,
    processes: int = 1,
    environment: dict[str, str] | None = None,
) -> Iterator[tuple[int, int, int]]:
    """Start a server, and yield its port, the pid of its parent process and that of a process that answers.

    Ours finds its settings in the environment, others `PORT`, `JWT_SECRET` and `BENCH_REDIS_URL`.
    """
    port = free_port()
    settings = {
        "PORT": str(port),
        "JWT_SECRET": SECRET,
        "BENCH_REDIS_URL": redis_url,
        "LANEWAY_REDIS_URL": redis_url,
        "LANEWAY_MONGO_URL": "mongodb://127.0.0.1:1",  # enqueue does not need it
        "LANEWAY_JWT_SECRET": SECRET,
        "LANEWAY_KEY_PREFIX": prefix,
        "LANEWAY_API_PORT": str(port),
        "LANEWAY_API_METRICS_PORT": "0",
        "LANEWAY_API_PROCESSES": str(processes),
        "LANEWAY_LANE_LENGTH": "100000000",
        "LANEWAY_HISTORY_BACKLOG": "100000000",
        "LANEWAY_HANDLERS": "laneway.handlers.demo,bench.typed_handlers",
    }
    process = subprocess.Popen(
        command,
        env=without_settings(os.environ) | settings | (environment or {}),
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                asyncio.run(load(port, requests(1, BODY), 0.05))
                break
            except (OSError, LoadError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield port, process.pid, max([process.pid, *descendants(process.pid)])
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load."""

    seconds: float
    took: list[float]
    """Seconds of each answer."""
    cpu_us: float
    """Microseconds of the serving process for each request."""

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.took) / self.seconds


def measure(
    port: int, pid: int, seconds: float, connections: int, body: bytes, path: str = "/api/enqueue"
) -> Load:
    """Load a server that runs, after half a second of warming up."""
    sent = requests(connections, body, path)
    asyncio.run(load(port, sent, 0.5))
    with multiprocessing.Pool(1) as pool:  # clients on another processor, if the machine has one
        pool.apply(drive, (port, sent[:1], 0.01))
        before, started = cpu_seconds(pid), time.perf_counter()
        took = pool.apply(drive, (port, sent, seconds))
        elapsed = time.perf_counter() - started
    return Load(elapsed, took, (cpu_seconds(pid) - before) / len(took) * 1e6)


def drive(port: int, sent: list[bytes], seconds: float) -> list[float]:
    """Run `load` in an event loop of its own."""
    return uvloop.run(load(port, sent, seconds))


def requests(connections: int, body: bytes, path: str = "/api/enqueue") -> list[bytes]:
    """Return a request for each connection, with the tokens of `USERS` users."""
    sent = []
    for number in range(connections):
        claims = {
            "sub": f"user{number % USERS}",
            "role": "user",
            "iat": time.time(),
            "exp": time.time() + 3600,
            "jti": f"t{number}",
        }
        token = jwt.encode(claims, SECRET, "HS256", headers={"kid": "1"})
        sent.append(post(path, token, body))
    return sent


if __name__ == "__main__":
    main()
