"""API and workers run in containers as the chart starts them, against real servers: a job is enqueued, runs, and its result is read."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from PIL import Image

from laneway.dev.embedded import free_port
from tests.helm.chart import Manifest
from tests.image.containers import Containers

pytestmark = pytest.mark.timeout(1200)
START_SECONDS, JOB_SECONDS = 60.0, 30.0


def _wait_for(
    what: str, condition: Callable[[], Any], seconds: float, explain: Callable[[], list[str]] = list
) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("\n".join([f"{what}: did not happen within {seconds} s", *explain()]))
        time.sleep(0.1)
    return found


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class System:
    """One API and one worker."""

    def __init__(self, containers: Containers) -> None:
        self.containers = containers
        port, metrics, api_metrics = free_port(), free_port(), free_port()
        self.url, self.metrics = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics}"
        self.api_metrics = f"http://127.0.0.1:{api_metrics}"
        self.api = containers.start(
            "api",
            LANEWAY_API_PORT=str(port),
            LANEWAY_API_METRICS_PORT=str(api_metrics),
            LANEWAY_API_HOST="127.0.0.1",
        )
        # The chart runs the janitor in the operator, and there is none here.
        self.worker = containers.start(
            "worker",
            LANEWAY_WORKER_METRICS_PORT=str(metrics),
            LANEWAY_WORKER_METRICS_HOST="127.0.0.1",
            LANEWAY_JANITOR="true",
        )
        for what, container, address in (
            ("the API", self.api, f"{self.url}/readyz"),
            ("the worker", self.worker, f"{self.metrics}/readyz"),
        ):
            answers, logs = partial(_answers, address), partial(containers.logs, container)
            _wait_for(what, answers, START_SECONDS, logs)

    @contextmanager
    def user(self) -> Iterator[httpx.Client]:
        """Yield a client of a new user who is logged in."""
        with httpx.Client(base_url=self.url, timeout=10) as client:
            account = {"username": f"u{time.monotonic_ns()}", "password": "correct horse battery"}
            assert client.post("/api/register", json=account).status_code == 201
            token = client.post("/api/login", json=account).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client

    def done(self, client: httpx.Client, job_id: str) -> dict[str, Any]:
        """Wait for a job's end and return the job."""

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = client.get(f"/api/jobs/{job_id}").json()
            return job if job["state"] in {"succeeded", "failed", "cancelled"} else None

        job: dict[str, Any] = _wait_for("the job's end", ended, JOB_SECONDS)
        return job


@pytest.fixture
def system(containers: Containers) -> System:
    return System(containers)


def _picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 200), "teal").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_charts_test_passes(system: System) -> None:
    """`helm test` registers, logs in, enqueues a request and reads its result."""
    printed = system.containers.test(system.url)
    assert "succeeded" in printed


def test_a_request_is_processed_in_a_container(system: System) -> None:
    with system.user() as client:
        sent = {"type": "wordcount", "request": {"text": "first in first out"}}
        job = system.done(client, client.post("/api/enqueue", json=sent).json()["job_id"])
        assert job["state"] == "succeeded", job
        picture = {"type": "thumbnail", "request": {"image": _picture(), "size": 64}}
        job = system.done(client, client.post("/api/enqueue", json=picture).json()["job_id"])
        assert job["state"] == "succeeded", job


def test_they_run_as_a_user_that_the_cluster_assigns(
    containers: Containers, chart_without_ids: list[Manifest]
) -> None:
    containers.chart = chart_without_ids
    system = System(containers)
    with system.user() as client:
        job_id = client.post("/api/enqueue", json={"type": "echo", "request": 1}).json()["job_id"]
        assert system.done(client, job_id)["state"] == "succeeded"


def test_metrics_are_served(system: System) -> None:
    assert "laneway_redis_up 1.0" in httpx.get(f"{system.api_metrics}/metrics").text
    _wait_for(
        "the pool's metric",
        lambda: "laneway_worker_pool_processes 2.0" in httpx.get(f"{system.metrics}/metrics").text,
        START_SECONDS,
        partial(system.containers.logs, system.worker),
    )


def test_they_stop_gracefully_and_log_only_json(system: System) -> None:
    with system.user() as client:
        job_id = client.post("/api/enqueue", json={"type": "sleep", "request": {"seconds": 2}}).json()[
            "job_id"
        ]
        _wait_for(
            "the start", lambda: client.get(f"/api/jobs/{job_id}").json()["state"] == "running", JOB_SECONDS
        )
        assert system.containers.stop(system.worker, "worker") == 0
        assert system.done(client, job_id)["attempts"] == 1, "the job must end within the worker's grace time"
    assert system.containers.stop(system.api, "api") == 0
    output = [line for name in (system.api, system.worker) for line in system.containers.output(name)]
    lines = [json.loads(line) for line in output]
    events = {(line["service"], line["event"]) for line in lines if line.get("job_id") == job_id}
    assert {("api", "accepted"), ("worker", "started"), ("worker", "succeeded")} <= events
