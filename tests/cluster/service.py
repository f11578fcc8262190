"""Stands in for kube-proxy: sends requests to the pods of a Service that are ready and not Terminating."""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import httpx

from tests.cluster.kubelet import events
from tests.cluster.program import Program
from tests.cluster.release import is_ready

CLIENTS = 4
LAG_SECONDS = 1.0
"""How long it takes until every node has heard that a pod is Terminating."""


class Service:
    """Watches the Service's pods while used as a context manager. (EndpointSlices allow no loopback addresses.)"""

    def __init__(self, kubectl: Program, namespace: str, name: str, port: int) -> None:
        found = kubectl.json("get", "service", name, f"--namespace={namespace}")
        selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"].items())
        self._watch = kubectl.start(
            *("get", "pods", f"--namespace={namespace}", f"--selector={selector}"),
            *("--watch", "--output-watch-events", "--output=json"),
        )
        self._port = port
        self._ready: dict[str, str] = {}
        self._thread = threading.Thread(target=self._follow, args=(self._watch,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.kill()
        self._watch.wait()
        self._thread.join(10)

    @property
    def addresses(self) -> list[str]:
        return list(self._ready.values())

    def _follow(self, watch: subprocess.Popen[str]) -> None:
        for event in events(watch):
            pod = event["object"]
            name = pod["metadata"]["name"]
            if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
                self._ready[name] = f"http://{pod['status']['podIP']}:{self._port}"
            else:
                threading.Timer(LAG_SECONDS, self._ready.pop, (name, None)).start()


class Requests:
    """Clients that send one request after another over kept connections while used as a context manager. No retries."""

    def __init__(self, service: Service, path: str, body: Any, headers: Mapping[str, str]) -> None:
        self._service, self._path, self._body, self._headers = service, path, body, headers
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]
        self.answers: Counter[str] = Counter()
        """Number of answers by status, or by error."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with httpx.Client(headers=self._headers, timeout=10) as client:
            while not self._end.wait(0.01):
                try:
                    url = random.choice(self._service.addresses) + self._path
                    answer = str(client.post(url, json=self._body).status_code)
                except (httpx.HTTPError, IndexError) as error:
                    answer = repr(error)
                self.answers[answer] += 1
