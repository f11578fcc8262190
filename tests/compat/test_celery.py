"""Canaries: what we rely on inside Celery is still there."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from pathlib import Path

import billiard.pool
import celery.apps.worker
import pytest
from celery import Celery
from celery.concurrency import asynpool
from celery.concurrency.prefork import TaskPool
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu.asynchronous import Hub

from laneway.compat.celery import (
    PoolOfEndingProcesses,
    replace_dead_processes,
    silence_shutdown_messages,
    stop_if_asked,
)


def test_the_pool_can_be_told_to_replace_dead_processes() -> None:
    """Break the pool's only process and see `maintain_pool` make another."""

    class Worker:
        pool = TaskPool(1, app=Celery("canary", broker="memory://"))

    Worker.pool.start()
    try:
        (before,) = Worker.pool.info["processes"]
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while Worker.pool.info["processes"] in ([], [before]):
            assert time.monotonic() < deadline, (
                "celery: `worker.pool.maintain_pool` no longer replaces dead processes; see compat/celery.py"
            )
            replace_dead_processes(Worker)
            time.sleep(0.02)
    finally:
        Worker.pool.terminate()


def test_a_pool_process_can_end_between_two_tasks() -> None:
    """What it does then is in `tests/worker/test_recycling.py`."""
    changed = "a pool process may no longer end where `PoolOfEndingProcesses` ends it; see compat/celery.py"
    assert TaskPool.Pool is asynpool.AsynPool, changed
    assert issubclass(PoolOfEndingProcesses.Pool.Worker, asynpool.AsynPool.Worker), changed
    assert "self.wait_for_job =" in inspect.getsource(billiard.pool.Worker._make_child_methods), changed
    assert "wait_for_job = self.wait_for_job" in inspect.getsource(billiard.pool.Worker.workloop), changed


def test_the_loop_starts_anew_while_a_dead_process_is_not_replaced_yet() -> None:
    """As it does when Celery loses Redis. Without our part it ends with ValueError."""
    app = Celery("canary", broker="memory://")
    pool = PoolOfEndingProcesses(1, app=app, threads=False, initargs=(app, "canary"))
    pool.start()
    hub = Hub()
    try:
        pool.register_with_event_loop(hub)
        (process,) = pool._pool._pool
        watched = process._sentinel_poll
        assert watched in hub.readers, "celery watches processes in another way; see compat/celery.py"
        pool._pool._untrack_child_process(process, hub)
        pool.register_with_event_loop(hub)
        assert watched not in hub.readers
    finally:
        pool.terminate()
        hub.close()


def test_a_step_that_waits_can_ask_whether_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = "celery: SIGTERM no longer sets `celery.worker.state.should_stop`; see `stop_if_asked` in compat/celery.py"
    assert "should_stop" in Path(celery.apps.worker.__file__).read_text(), changed
    stop_if_asked()
    monkeypatch.setattr(state, "should_stop", 0)
    with pytest.raises(WorkerShutdown):
        stop_if_asked()


def test_celery_prints_shutdown_messages_where_we_discard_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert "sys.__stdout__" in Path(celery.apps.worker.__file__).read_text(), (
        "celery no longer prints to sys.__stdout__: `silence_shutdown_messages` in compat/celery.py may go"
    )
    original = sys.__stdout__
    with silence_shutdown_messages():
        celery.apps.worker.safe_say("worker: Warm shutdown (MainProcess)", sys.__stdout__)
    assert sys.__stdout__ is original
    assert "Warm shutdown" not in "".join(capfd.readouterr())
