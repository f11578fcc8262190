"""A worker's HTTP port: /metrics for Prometheus, /healthz for the kubelet, /in-flight for the operator."""

from __future__ import annotations

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from laneway.janitor import Janitor, JanitorCollector
from laneway.worker.lease_keeper.lease_keeper import LeaseKeeper

PORT_SECONDS, WARN_EVERY = 0.5, 60
"""How often a port that is taken is tried again, and how many tries are one line in the log."""
log = structlog.get_logger()


def serve(
    address: tuple[str, int], registry: CollectorRegistry, lease_keeper: LeaseKeeper, janitor: Janitor | None
) -> None:
    """Serve from a thread of its own, as soon as the port is free: a worker whose parent was killed keeps it while it ends what
    runs, and the next one must not wait for that. `/healthz` is 503 when no process of the pool is there."""
    Gauge(
        "laneway_worker_jobs_in_flight", "Jobs that this worker's processes hold.", registry=registry
    ).set_function(lambda: lease_keeper.in_flight)
    Gauge("laneway_worker_pool_processes", "Processes of the pool.", registry=registry).set_function(
        lambda: lease_keeper.processes
    )
    if janitor is not None:
        registry.register(JanitorCollector(janitor.stats))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/healthz":
                    healthy = lease_keeper.processes > 0
                    self._answer(
                        200 if healthy else 503, "text/plain", b"ok" if healthy else b"no process in the pool"
                    )
                case "/in-flight":
                    self._answer(
                        200, "application/json", json.dumps({"in_flight": lease_keeper.in_flight}).encode()
                    )
                case _:
                    self._answer(404, "text/plain", b"not found")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: scrapes are no news."""

    threading.Thread(target=_serve, args=(address, Handler), name="monitor", daemon=True).start()


def _serve(address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
    for tries in itertools.count():
        try:
            server = ThreadingHTTPServer(address, handler)
        except OSError as error:
            if tries % WARN_EVERY == 0:
                log.warning("metrics_port_unavailable", port=address[1], error=str(error))
            time.sleep(PORT_SECONDS)
        else:
            server.serve_forever()
