"""A worker's HTTP port: /metrics for Prometheus, /healthz and /readyz for the kubelet, /in-flight for the operator."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from laneway.listening import accept_ipv4, bindable
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness

RETRY_SECONDS = 0.5
"""Wait before a port that is taken is tried again."""
TRIES_PER_WARNING = 60
log = structlog.get_logger()


def serve(
    address: tuple[str, int],
    registry: CollectorRegistry,
    pool: Pool,
    readiness: Readiness,
) -> None:
    """Serve from a thread of its own, as soon as the port is free.

    A worker whose parent was killed keeps the port while its jobs end, and its successor must not wait for that.
    """
    Gauge(
        "laneway_worker_jobs_in_flight", "Jobs that this worker's processes hold.", registry=registry
    ).set_function(lambda: pool.in_flight)
    Gauge("laneway_worker_pool_processes", "Processes of the pool.", registry=registry).set_function(
        lambda: pool.size
    )
    registry.register(readiness)
    handler = _handler(registry, pool, readiness)
    threading.Thread(target=_serve, args=(address, handler), name="monitor", daemon=True).start()


def _handler(registry: CollectorRegistry, pool: Pool, readiness: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/healthz" if readiness.is_alive:
                    self._answer(200, "text/plain", b"ok")
                case "/healthz":
                    self._answer(503, "text/plain", b"the lease keeper's event loop does not run")
                case "/readyz":
                    self._answer_readiness(readiness.problems(), readiness.warnings())
                case "/in-flight":
                    self._answer_json(200, {"in_flight": pool.in_flight})
                case _:
                    self._answer(404, "text/plain", b"not found")

        def _answer_readiness(self, problems: Mapping[str, str], warnings: Mapping[str, str]) -> None:
            found = {"problems": problems, "warnings": warnings}
            if problems:
                self._answer_json(503, {"status": "not ready", **found})
            else:
                self._answer_json(200, {"status": "ready", **found})

        def _answer_json(self, status: int, document: Mapping[str, object]) -> None:
            self._answer(status, "application/json", json.dumps(document).encode())

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: a scrape is not news."""

    return Handler


class _Server(ThreadingHTTPServer):
    """Listens on IPv6 too if the address is an IPv6 one."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        host, port = bindable(address[0]), address[1]
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        accept_ipv4(self.socket)
        super().server_bind()


def _serve(address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
    for tries in itertools.count():
        try:
            server = _Server(address, handler)
        except OSError as error:
            if tries % TRIES_PER_WARNING == 0:
                log.warning("metrics_port_refused", port=address[1], error=str(error))
            time.sleep(RETRY_SECONDS)
        else:
            server.serve_forever()
