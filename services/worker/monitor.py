"""A worker's HTTP port: /metrics for Prometheus, /healthz for the kubelet, /in-flight for the operator."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from services.janitor import Janitor, JanitorCollector
from services.worker.keeper import Keeper


def serve(
    address: tuple[str, int], registry: CollectorRegistry, keeper: Keeper, janitor: Janitor | None
) -> None:
    """Serve from a thread of its own. `/healthz` is 503 when no process of the pool is there."""
    Gauge(
        "queue_worker_jobs_in_flight", "Jobs that this worker's processes hold.", registry=registry
    ).set_function(lambda: keeper.in_flight)
    Gauge("queue_worker_pool_processes", "Processes of the pool.", registry=registry).set_function(
        lambda: keeper.processes
    )
    if janitor is not None:
        registry.register(JanitorCollector(janitor.stats))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/healthz":
                    healthy = keeper.processes > 0
                    self._answer(
                        200 if healthy else 503, "text/plain", b"ok" if healthy else b"no process in the pool"
                    )
                case "/in-flight":
                    self._answer(
                        200, "application/json", json.dumps({"in_flight": keeper.in_flight}).encode()
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

    server = ThreadingHTTPServer(address, Handler)
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
