"""`laneway operator` as a process, without a cluster: it starts, reports what is missing, and ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from laneway.dev.embedded import free_port, spawn

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "any"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "here"}}],
    "current-context": "x",
}


class Process:
    """The operator with a kubeconfig whose API server refuses connections."""

    def __init__(self, folder: Path, redis_url: str, **settings: object) -> None:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
        self.health_port = free_port()
        values = {
            "redis_url": redis_url,
            "operator_health_port": self.health_port,
            "operator_metrics_port": free_port(),
        } | settings
        env = {key: value for key, value in os.environ.items() if not key.startswith("LANEWAY_")}
        env |= {f"LANEWAY_{key.upper()}": str(value) for key, value in values.items()}
        env |= {"KUBECONFIG": str(kubeconfig), "HOME": str(folder)}
        self._log = folder / "operator.log"
        with self._log.open("ab") as log:
            argv = [sys.executable, "-m", "laneway.operator"]
            self.process = spawn(argv, output=log.fileno(), cwd=folder, env=env)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Status and answer; status 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def until(self, path: str, status: int, seconds: float = 60) -> Mapping[str, Any]:
        """Wait for an answer with this status."""
        deadline = time.monotonic() + seconds
        while (found := self.get(path))[0] != status:
            assert time.monotonic() < deadline, f"{found}\n{self.log()}"
            time.sleep(0.1)
        return found[1]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    """Processes that are killed at the end."""
    processes: list[Process] = []
    yield processes
    for one in processes:
        one.process.kill()
        one.process.wait()


def test_without_the_api_server_it_lives_is_not_ready_and_ends_on_sigterm(
    started: list[Process], tmp_path: Path, redis_url: str
) -> None:
    operator = Process(tmp_path, redis_url)
    started.append(operator)
    assert operator.until("/healthz", 200)["leading"] is False
    problems = operator.until("/readyz", 503)["problems"]
    assert problems.keys() == {"lease", "workerpools"}
    operator.process.terminate()
    assert operator.process.wait(30) == 0, operator.log()


def test_a_taken_port_ends_the_process(started: list[Process], tmp_path: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        operator = Process(tmp_path, redis_url, operator_health_port=taken.getsockname()[1])
        started.append(operator)
        assert operator.process.wait(60) != 0
    assert "address already in use" in operator.log()


def test_a_wrong_setting_ends_the_process_with_status_2(tmp_path: Path) -> None:
    env = {**os.environ, "LANEWAY_OPERATOR_HEALTH_PORT": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "laneway.operator"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert "LANEWAY_OPERATOR_HEALTH_PORT" in done.stderr
