"""Asking pods how busy they are, and what they cost: a worker, pods that answer badly, pods that do not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from laneway.dev.embedded import free_port
from laneway.operator.deletion_cost import POLL_SECONDS, deletion_costs, poll_in_flight
from laneway.operator.workload import Pod
from laneway.scaling import PoolSpec

SPEC = PoolSpec(0, 10, 4)
SHORT, GRACE = 0.1, 25.0
"""Of a mean run time, and of what a stopping worker grants."""


def pod(name: str, ip: str = "127.0.0.1", cost: int = 0) -> Pod:
    return Pod(name, "1", name, ip, ready=True, terminating=False, cost=cost)


@pytest.fixture
def port() -> Iterator[int]:
    """Answers on 127.0.0.2 to .9 with what the address stands for."""
    answers = {
        2: (200, b'{"in_flight": 3}'),
        3: (200, b'{"in_flight": -1}'),
        4: (200, b'{"in_flight": "many"}'),
        5: (200, b"[]"),
        6: (200, b"\xff\xfe"),
        7: (503, b'{"in_flight": 1}'),
        8: (200, b'{"in_flight": 0}'),
    }
    found, servers = free_port(), []
    for last, (status, body) in answers.items():

        class Handler(BaseHTTPRequestHandler):
            answer = status, body

            def do_GET(self) -> None:
                self.send_response(self.answer[0])
                self.send_header("Content-Length", str(len(self.answer[1])))
                self.end_headers()
                self.wfile.write(self.answer[1])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        server = ThreadingHTTPServer((f"127.0.0.{last}", found), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_pod_is_asked_and_a_bad_answer_is_none(port: int) -> None:
    pods = [pod(f"p{last}", f"127.0.0.{last}") for last in range(2, 9)] + [pod("nowhere", "")]
    assert asyncio.run(poll_in_flight(pods, port)) == {
        "p2": 3,
        "p3": None,
        "p4": None,
        "p5": None,
        "p6": None,
        "p7": None,
        "p8": 0,
        "nowhere": None,
    }


def test_pods_that_do_not_answer_cost_no_time(port: int) -> None:
    """One refuses; 60 accept and stay silent, more than are asked at once: the others' answers are there in time."""
    silent = socket.create_server(("127.0.0.30", port), backlog=128)
    try:
        pods = [pod("p2", "127.0.0.2"), pod("refuses", "127.0.0.31")]
        pods += [pod(f"silent-{number}", "127.0.0.30") for number in range(60)]
        began = time.monotonic()
        counts = asyncio.run(poll_in_flight(pods, port))
        assert time.monotonic() - began < 2 * POLL_SECONDS + 1
        assert counts.pop("p2") == 3
        assert set(counts.values()) == {None}
        assert len(counts) == 61
    finally:
        silent.close()


def test_without_a_port_nobody_is_asked() -> None:
    assert asyncio.run(poll_in_flight([pod("p", "127.0.0.2")], 0)) == {"p": None}
    assert asyncio.run(poll_in_flight([], 9101)) == {}


def test_an_idle_pod_costs_nothing_and_a_busy_one_its_jobs() -> None:
    pods = [pod("idle"), pod("one"), pod("three")]
    found = deletion_costs(
        pods, {"idle": 0, "one": 1, "three": 3}, {"one": [0.5], "three": [0.1]}, SPEC, SHORT, GRACE
    )
    assert found == {"idle": 0, "one": 1, "three": 3}


def test_what_redis_knows_counts_even_when_the_pod_says_less() -> None:
    """It was asked a moment later, or its jobs ended in between: better too dear than too cheap."""
    assert deletion_costs([pod("a")], {"a": 0}, {"a": [0.1, 0.2]}, SPEC, SHORT, GRACE) == {"a": 2}


def test_a_job_that_would_be_interrupted_outweighs_any_number_of_others() -> None:
    pods = [pod("long"), pod("full")]
    found = deletion_costs(pods, {"long": 1, "full": 500}, {"long": [600.0]}, SPEC, SHORT, GRACE)
    assert found["long"] > found["full"] == 500


def test_a_pod_that_did_not_answer_is_not_idle_and_a_busy_one_is_dearer_still() -> None:
    pods = [pod("idle"), pod("silent"), pod("silent-and-busy"), pod("forgotten")]
    found = deletion_costs(
        pods,
        {"idle": 0, "silent": None, "silent-and-busy": None},
        {"silent-and-busy": [1.0]},
        SPEC,
        SHORT,
        GRACE,
    )
    assert found["idle"] < found["silent"] == found["forgotten"] < found["silent-and-busy"]
    assert found["silent"] == SPEC.slots_per_replica
