"""Enqueue over HTTP, one server process, 64 connections, synced: one request at a time, and batches of 100.

The peers are Express with Bull and a prebuilt key for the tokens, and a plain FastAPI endpoint with one script call.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import orjson

from bench.enqueue import BODY, PLAIN, Load, serving
from bench.enqueue import measure as load
from bench.http_load import LoadError
from bench.peers import statistics
from bench.peers.bench import Bench, Figures
from bench.peers.catalogue import EXPRESS, FASTAPI, LANEWAY, Peer
from bench.peers.run import ADAPTERS, RunError
from laneway.dev import embedded

CASE, BATCHES = "http", "batches"
CONNECTIONS = 64
BATCH = 100
BATCH_BODY = orjson.dumps({"requests": [orjson.loads(BODY)] * BATCH})


def measure(bench: Bench) -> None:
    """Run all servers once."""
    for peer in bench.in_turn((EXPRESS, FASTAPI)):
        bench.attempt(CASE, peer, partial(_single, bench, peer), synced=True)
    for peer in bench.in_turn((EXPRESS,)):
        bench.attempt(BATCHES, peer, partial(_batches, bench, peer), synced=True)


def _single(bench: Bench, peer: Peer) -> Figures:
    under = _load(bench, peer, BODY, "/api/enqueue")
    milliseconds = [seconds * 1e3 for seconds in under.took]
    return Figures(
        {
            "requests_per_second": under.per_second,
            "p50_ms": statistics.quantile(milliseconds, 0.5),
            "p99_ms": statistics.quantile(milliseconds, 0.99),
            "cpu_us_per_request": under.cpu_us,
        }
    )


def _batches(bench: Bench, peer: Peer) -> Figures:
    under = _load(bench, peer, BATCH_BODY, "/api/enqueue/batch")
    return Figures({"jobs_per_second": under.per_second * BATCH, "cpu_us_per_job": under.cpu_us / BATCH})


def _load(bench: Bench, peer: Peer, body: bytes, path: str) -> Load:
    programs = bench.installer.programs(peer)
    commands = {
        LANEWAY.name: [sys.executable, "-m", "laneway.api"],
        FASTAPI.name: [sys.executable, "-c", PLAIN],
        EXPRESS.name: [programs.get("node", ""), str(ADAPTERS / "node/express_bull.js")],
    }
    environment = {"NODE_PATH": programs.get("modules", "")}
    with (
        tempfile.TemporaryDirectory(prefix="laneway-bench-") as folder,
        embedded.valkey(Path(folder)) as server,
        serving(commands[peer.name], server.url, "bench", environment=environment) as (port, _, pid),
    ):
        try:
            return load(port, pid, bench.plan.http_seconds, CONNECTIONS, body, path)
        except LoadError as error:
            raise RunError(f"{peer.title} answered: {error}") from error
