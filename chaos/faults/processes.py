"""Processes of APIs and workers are killed, stopped, frozen, or started with a wrong clock."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

from chaos.faults.fault import GONE_SECONDS, Fault, Scene, hold, send_signal
from chaos.system.preload import wrong_clock
from chaos.system.procfs import is_alive
from chaos.system.programs import Program, wait_for

T = TypeVar("T")


def kill_pool_process(scene: Scene) -> None:
    """Kill one of the processes that run jobs."""
    worker = scene.worker()
    _kill(scene.random.choice(_await_process(lambda: worker.pool)))


def kill_celery(scene: Scene) -> None:
    """Kill Celery's main process, which leaves its pool without a parent."""
    worker = scene.worker()
    _kill(_await_process(lambda: worker.celery))


def kill_supervisor(scene: Scene) -> None:
    """Kill the first process of a worker."""
    _kill(scene.worker().pid)


def kill_lease_keeper(scene: Scene) -> None:
    """Kill the process that renews a worker's leases and runs the janitor."""
    worker = scene.worker()
    _kill(_await_process(lambda: worker.lease_keeper))


def kill_worker(scene: Scene) -> None:
    """Kill all processes of a worker at once."""
    scene.worker().kill()


def kill_api_process(scene: Scene) -> None:
    """Kill one of the processes that answer requests."""
    api = scene.random.choice(scene.system.apis)
    _kill(scene.random.choice(_await_process(lambda: api.children)))


def kill_api_parent(scene: Scene) -> None:
    """Kill gunicorn's parent process."""
    _kill(scene.random.choice(scene.system.apis).pid)


def stop_worker(scene: Scene) -> None:
    """Stop a worker that runs jobs, some of them longer than its grace time."""
    for _ in range(3):
        scene.requests.send("wait", {"ms": 2000})
        scene.requests.send("work", {"ms": 1500})
        scene.requests.send("wait", {"ms": 9000})
    _restart(scene.worker())


def stop_api(scene: Scene) -> None:
    """Stop an API."""
    _restart(scene.random.choice(scene.system.apis))


def freeze_worker(scene: Scene) -> None:
    """Freeze all processes of a worker until its leases have expired."""
    pids = scene.worker().pids()
    with scene.frozen_processes(pids):
        _freeze(pids, scene.beyond_lease_seconds())


def freeze_lease_keeper(scene: Scene) -> None:
    """Freeze a lease keeper, so that nobody renews the leases of its worker until they have expired."""
    worker = scene.worker()
    lease_keeper = _await_process(lambda: worker.lease_keeper)
    with scene.frozen_processes(worker.pids()):
        _freeze([lease_keeper], scene.beyond_lease_seconds())


def freeze_pool_process(scene: Scene) -> None:
    """Freeze a process that runs jobs. The lease keeper goes on to renew its leases."""
    worker = scene.worker()
    pids = [scene.random.choice(_await_process(lambda: worker.pool))]
    with scene.frozen_processes(pids, renewals_blocked=False):
        _freeze(pids, scene.beyond_lease_seconds())


def freeze_celery(scene: Scene) -> None:
    """Freeze Celery's main process."""
    worker = scene.worker()
    _freeze([_await_process(lambda: worker.celery)], 2)


def freeze_api(scene: Scene) -> None:
    """Freeze all processes of an API."""
    _freeze(scene.random.choice(scene.system.apis).pids(), 2)


def wrong_worker_clock(scene: Scene) -> None:
    """Restart a worker with a wrong clock."""
    _restart_with_wrong_clock(scene, scene.worker())


def wrong_api_clock(scene: Scene) -> None:
    """Restart an API with a wrong clock."""
    _restart_with_wrong_clock(scene, scene.random.choice(scene.system.apis))


FAULTS = (
    Fault("a pool process is killed", "worker", kill_pool_process),
    Fault("Celery's parent is killed", "worker", kill_celery),
    Fault("a worker's parent is killed", "worker", kill_supervisor),
    Fault("a lease keeper (janitor) is killed", "worker", kill_lease_keeper),
    Fault("a whole worker is killed", "worker", kill_worker),
    Fault("an API process is killed", "api", kill_api_process),
    Fault("an API's parent is killed", "api", kill_api_parent),
    Fault("a worker with long jobs is stopped (SIGTERM)", "worker", stop_worker),
    Fault("an API is stopped (SIGTERM)", "api", stop_api),
    Fault("a worker is frozen beyond its leases", "worker", freeze_worker),
    Fault("a lease keeper is frozen beyond its leases", "worker", freeze_lease_keeper),
    Fault("a pool process is frozen", "worker", freeze_pool_process),
    Fault("Celery's parent is frozen", "worker", freeze_celery),
    Fault("an API is frozen", "api", freeze_api),
    Fault("a worker's clock is off by minutes", "worker", wrong_worker_clock),
    Fault("an API's clock is off by minutes", "api", wrong_api_clock),
)


def _await_process(find: Callable[[], T | None]) -> T:
    """Return the process to hit. It may just be starting."""
    found = wait_for(find, GONE_SECONDS, "the process exists")
    assert found is not None
    return found


def _kill(pid: int) -> None:
    send_signal(signal.SIGKILL, [pid])
    wait_for(lambda: not is_alive(pid), GONE_SECONDS, f"process {pid} is gone")


def _restart(program: Program) -> None:
    """Send SIGTERM to the first process, as a kubelet does, and wait until the program is started again."""
    starts = program.starts
    send_signal(signal.SIGTERM, [program.pid])
    wait_for(lambda: program.starts > starts, GONE_SECONDS, f"{program.name} is started again")


def _freeze(pids: list[int], seconds: float) -> None:
    send_signal(signal.SIGSTOP, pids)
    hold(seconds)
    send_signal(signal.SIGCONT, pids)


def _restart_with_wrong_clock(scene: Scene, program: Program) -> None:
    off_seconds = scene.random.choice((-1, 1)) * scene.random.randrange(120, 900)
    program.extra_environment = wrong_clock(off_seconds)
    _restart(program)
    hold(2)
    program.extra_environment = {}
