"""Polls pods for their jobs in flight and computes deletion costs: good answers, bad answers, no answers."""

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
"""A mean run time and a shutdown grace, in seconds."""


def pod(name: str, ip: str = "127.0.0.1", cost: int = 0) -> Pod:
    return Pod(name, "1", name, ip, ready=True, terminating=False, cost=cost)


@pytest.fixture
def port() -> Iterator[int]:
    """The port of servers on 127.0.0.2 to .8, each with an answer of its own."""
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
                """Log nothing."""

        server = ThreadingHTTPServer((f"127.0.0.{last}", found), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_pod_is_polled_and_a_bad_answer_counts_as_none(port: int) -> None:
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


def test_pods_that_do_not_answer_delay_nobody(port: int) -> None:
    """One refuses; 60 accept and stay silent, more than are polled at once. The others' answers arrive in time."""
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


def test_without_a_port_no_pod_is_polled() -> None:
    assert asyncio.run(poll_in_flight([pod("p", "127.0.0.2")], 0)) == {"p": None}
    assert asyncio.run(poll_in_flight([], 9101)) == {}


def test_an_idle_pod_costs_nothing_and_a_busy_one_its_jobs() -> None:
    pods = [pod("idle"), pod("one"), pod("three")]
    found = deletion_costs(
        pods, {"idle": 0, "one": 1, "three": 3}, {"one": [0.5], "three": [0.1]}, SPEC, SHORT, GRACE
    )
    assert found == {"idle": 0, "one": 1, "three": 3}


def test_jobs_that_redis_knows_count_even_if_the_pod_reports_fewer() -> None:
    """Its jobs may have ended in between. A cost that is too high does less harm than one that is too low."""
    assert deletion_costs([pod("a")], {"a": 0}, {"a": [0.1, 0.2]}, SPEC, SHORT, GRACE) == {"a": 2}


def test_a_job_that_would_be_interrupted_outweighs_any_number_of_others() -> None:
    pods = [pod("long"), pod("full")]
    found = deletion_costs(pods, {"long": 1, "full": 500}, {"long": [600.0]}, SPEC, SHORT, GRACE)
    assert found["long"] > found["full"] == 500


def test_a_silent_pod_counts_as_full_and_its_known_jobs_come_on_top() -> None:
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
