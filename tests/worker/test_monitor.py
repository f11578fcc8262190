"""The worker's HTTP port, on IPv6 and IPv4."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from laneway.dev.embedded import free_port
from laneway.worker.lease_keeper import monitor
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness

LIMIT_SECONDS = 10
HAS_IPV6 = socket.has_dualstack_ipv6()


def _status(url: str) -> int:
    """Ask until the port is open."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as answer:  # noqa: S310 - our own port
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("host", "clients"),
    [
        pytest.param(
            "::", ["127.0.0.1", "[::1]"], marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
        ),
        ("127.0.0.1", ["127.0.0.1"]),
    ],
)
def test_every_family_of_its_address_is_served(host: str, clients: list[str]) -> None:
    port = free_port()
    pool = Pool()
    monitor.serve((host, port), CollectorRegistry(), pool, Readiness(pool))
    for client in clients:
        assert _status(f"http://{client}:{port}/metrics") == 200
        assert _status(f"http://{client}:{port}/healthz") == 503, "the lease keeper does not run"
        assert _status(f"http://{client}:{port}/readyz") == 503, "no process is connected"


def test_a_worker_without_a_janitor_loads_no_driver_of_mongodb() -> None:
    """In a cluster the operator runs the janitor, and every worker would pay for the driver."""
    code = "import sys, laneway.worker.lease_keeper.__main__; sys.exit(bool({'pymongo', 'bson'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
