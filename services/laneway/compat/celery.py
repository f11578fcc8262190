"""What we need from inside Celery.

| entry | needs | why | upstream |
|---|---|---|---|
| `replace_dead_processes` | `maintain_pool` of the worker's pool | Celery finds some dead processes only every 5 s | no issue known |
| `PoolOfEndingProcesses`, `end_process_when` | `Worker.wait_for_job` of the pool, called between two tasks | a process must end after a turn; Celery knows only fixed numbers of tasks and of bytes | no issue known |
| | `_track_child_process`, `_sentinel_poll` of a process, None once its end was noticed | Celery ended with ValueError when it lost Redis while a dead process was not replaced yet | no issue known |
| `stop_if_asked` | `maybe_shutdown` of `celery.worker.state` | a boot step that blocks must notice SIGTERM | none: boot steps are not meant to block |
| `silence_shutdown_messages` | Celery prints to `sys.__stdout__` when it shuts down | these lines would stand among the JSON lines of the log | no issue known |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery.concurrency import asynpool
from celery.concurrency.prefork import TaskPool
from celery.worker import state

_is_over: Callable[[], bool] | None = None


def end_process_when(is_over: Callable[[], bool]) -> None:
    """End this pool process between two tasks as soon as `is_over()`. Call it after the fork.

    The process ends as it does after `worker_max_tasks_per_child` tasks: the results of its tasks arrive, and no error is logged.
    """
    global _is_over
    _is_over = is_over


class _EndingWorker(asynpool.Worker):  # type: ignore[misc]
    wait_for_job: Callable[[], Any]

    def _make_child_methods(self, *args: Any, **options: Any) -> None:
        super()._make_child_methods(*args, **options)
        wait_for_job = self.wait_for_job

        def wait_for_job_or_end() -> Any:
            if _is_over and _is_over():
                raise SystemExit(0)
            return wait_for_job()

        self.wait_for_job = wait_for_job_or_end


class PoolOfEndingProcesses(TaskPool):  # type: ignore[misc]
    """Celery's prefork pool, with processes that obey `end_process_when`. It replaces those that have ended."""

    class Pool(asynpool.AsynPool):  # type: ignore[misc]
        """The pool behind it."""

        Worker = _EndingWorker

        def _track_child_process(self, process: Any, hub: Any) -> None:
            """Watch for the end of a process, unless it was noticed already: then it is about to be replaced."""
            if getattr(process, "_sentinel_poll", ...) is not None:
                super()._track_child_process(process, hub)


def replace_dead_processes(worker: Any) -> None:
    """Start a new pool process for each that has died. `worker`: Celery's worker, as its boot steps get it.

    Celery notices the end of a pool process when the write end of a pipe closes that the process holds. But processes forked
    later inherit that end, so it stays open for the first processes of a pool.
    """
    worker.pool.maintain_pool()


def stop_if_asked() -> None:
    """Raise WorkerShutdown or WorkerTerminate if a signal has asked Celery to stop. Call it only from a boot step."""
    state.maybe_shutdown()


@contextmanager
def silence_shutdown_messages() -> Iterator[None]:
    """Discard what Celery prints past every log. Other output is not affected."""
    original = sys.__stdout__
    with Path(os.devnull).open("w") as nowhere:
        vars(sys)["__stdout__"] = nowhere
        try:
            yield
        finally:
            vars(sys)["__stdout__"] = original
