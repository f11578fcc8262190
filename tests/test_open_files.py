"""Programs under a low limit of open files: they raise the soft one, and say what to do if the hard one is too low."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from laneway import open_files
from tests.api import running as api
from tests.dev.conftest import Machine
from tests.operator.test_program import Process as Operator
from tests.worker import running as worker

LimitFiles = Callable[[int, int], None]


@pytest.fixture
def limit_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LimitFiles:
    """A function after which every Python that a test starts has this soft and this hard limit."""
    python = sys.executable

    def limit(soft: int, hard: int) -> None:
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\nulimit -Sn {soft}\nulimit -Hn {hard}\nexec {shlex.quote(python)} "$@"\n'
        )
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return limit


FEW = 24
"""Hardly enough to start Python. The larger limits are variants: how many are needed is shown in a process of the tests below."""


@pytest.mark.parametrize(
    "limit", [FEW, *(pytest.param(n, marks=pytest.mark.thorough) for n in (64, open_files.NEEDED - 1))]
)
@pytest.mark.parametrize("program", ["api", "worker", "operator", "dev", "doctor"])
def test_a_program_that_may_not_open_enough_files_says_so_and_exits_with_2(
    limit_files: LimitFiles, tmp_path: Path, program: str, limit: int
) -> None:
    limit_files(24, limit)
    done = subprocess.run(
        [sys.executable, "-m", "laneway", program],
        cwd=tmp_path,
        env=os.environ | {"LANEWAY_JWT_SECRET": "x" * 32},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = done.stdout if program == "doctor" else done.stderr
    assert f"open files: the hard limit is {limit} and at least" in said
    assert "ulimit -Hn" in said
    assert len((done.stdout + done.stderr).splitlines()) == 1, done.stdout + done.stderr


def limits(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def test_the_api_raises_its_soft_limit_and_serves(
    limit_files: LimitFiles, redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path
) -> None:
    limit_files(24, open_files.NEEDED)
    settings = api.settings_of(redis_url, mongo_url, prefix, mongo_database)
    with api.process(settings, tmp_path / "api.log") as running:
        user = running.api.user()
        assert [running.api.enqueue(user) for _ in range(3)]
        assert running.api.http.get("/readyz").json()["status"] == "ready"
        assert limits(running.pid) == (open_files.NEEDED,) * 2


def test_a_worker_raises_its_soft_limit_and_serves(
    limit_files: LimitFiles, redis_url: str, tmp_path: Path
) -> None:
    hard = open_files.NEEDED + 2 * open_files.PER_WORKER_PROCESS
    limit_files(24, hard)
    with worker.fresh(redis_url, tmp_path) as system, worker.running(system, worker_processes=2) as running:
        user = system.user()
        jobs = system.ended(user, system.enqueue(user, "work", *[{}] * 50))
        assert {job.state for job in jobs} == {"succeeded"}
        for pid in (running.pid, running.lease_keeper, running.celery, *running.pool):
            assert limits(pid) == (hard, hard)


def test_the_operator_raises_its_soft_limit_and_lives(
    limit_files: LimitFiles, redis_url: str, tmp_path: Path
) -> None:
    limit_files(24, open_files.NEEDED)
    operator = Operator(tmp_path, redis_url)
    try:
        operator.until("/healthz", 200)
        assert operator.until("/readyz", 503)["problems"].keys() == {"lease", "workerpools"}
        assert limits(operator.process.pid) == (open_files.NEEDED,) * 2
    finally:
        operator.process.kill()
        operator.process.wait()


def test_laneway_dev_raises_its_soft_limit_and_serves(limit_files: LimitFiles, tmp_path: Path) -> None:
    hard = open_files.NEEDED + open_files.PER_WORKER_PROCESS
    limit_files(24, hard)
    machine = Machine(tmp_path)
    try:
        machine.up()
        headers = {"authorization": f"Bearer {machine.token('ann')}"}
        enqueued = machine.http.post("/api/enqueue", json={"request": 1}, headers=headers).json()
        job = f"/api/jobs/{enqueued['job_id']}"
        machine.wait_until(lambda: machine.http.get(job, headers=headers).json()["state"] == "succeeded")
        for pid in machine.running():
            assert limits(pid) == (hard, hard)
    finally:
        assert machine.stop() == 0
        machine.http.close()


def test_a_limit_that_is_high_enough_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limit: set_to.append(limit))
    for soft, hard in ((open_files.WANTED, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, limit=(soft, hard): limit)
        assert open_files.raise_limit() is None
    assert not set_to
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 1_000_000))
    assert open_files.raise_limit() is None
    assert set_to == [(open_files.WANTED, 1_000_000)]


@pytest.mark.parametrize("processes", [0, 3])
def test_as_many_as_are_needed_are_enough(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limit: None)
    needed = open_files.NEEDED + processes * open_files.PER_WORKER_PROCESS
    for hard, is_wrong in ((needed - 1, True), (needed, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _what, limit=(24, hard): limit)
        assert (open_files.raise_limit(processes) is not None) == is_wrong
