"""Every kind of fault: how it is thrown at a running system, and what the checker must know of it.

`throw` returns when the fault has been lifted: what was down is being started again, what was slow is fast. Whoever was
killed for good is started by the tender.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import redis

from chaos.clients.misbehaving import Trouble
from chaos.records import append
from chaos.system.death_watcher import runs
from chaos.system.preload import built
from chaos.system.programs import Program, Worker, wait_for
from chaos.system.proxy import Proxy
from chaos.system.system import System, names

T = TypeVar("T")
BEYOND_LEASE = 1.4
"""Part of the lease for which a process stands still so that its leases have surely run out."""
GONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where faults are thrown: the system, chance, and a client whose requests ask for trouble."""

    system: System
    random: Random
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. Two are thrown at the same time only if their targets differ."""

    name: str
    target: str
    act: Callable[[Scene], None]

    def throw(self, scene: Scene) -> tuple[int, int]:
        """When it began and when it was lifted, by the monotonic clock in nanoseconds."""
        from_ns = time.monotonic_ns()
        self.act(scene)
        lifted_ns = time.monotonic_ns()
        line = {"kind": "fault", "name": self.name, "from_ns": from_ns, "lifted_ns": lifted_ns}
        append(scene.system.records, "faults", line)
        return from_ns, lifted_ns


KINDS: dict[str, Kind] = {}


def _kind(name: str, target: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    def register(act: Callable[[Scene], None]) -> Callable[[Scene], None]:
        KINDS[name] = Kind(name, target, act)
        return act

    return register


def _hold(seconds: float) -> None:
    """The fault lasts."""
    threading.Event().wait(seconds)


# -- processes are killed -------------------------------------------------------------------------------------------


@_kind("a pool process is killed", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    _kill(scene.random.choice(_found(lambda: worker.pool)))


@_kind("Celery's parent is killed", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    _kill(_found(lambda: worker.celery))


@_kind("a worker's parent is killed", "worker")
def _(scene: Scene) -> None:
    _kill(_worker(scene).pid)


@_kind("a lease keeper (janitor) is killed", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    _kill(_found(lambda: worker.lease_keeper))


@_kind("a whole worker is killed", "worker")
def _(scene: Scene) -> None:
    _worker(scene).kill()


@_kind("an API process is killed", "api")
def _(scene: Scene) -> None:
    api = scene.random.choice(scene.system.apis)
    _kill(scene.random.choice(_found(lambda: api.children)))


@_kind("an API's parent is killed", "api")
def _(scene: Scene) -> None:
    _kill(scene.random.choice(scene.system.apis).pid)


@_kind("Redis is killed", "redis")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        scene.system.redis.kill()
        _hold(scene.random.uniform(0, 2))
        scene.system.redis.start()


@_kind("Redis is away beyond the leases", "redis")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        scene.system.redis.kill()
        _hold(_beyond(scene))
        scene.system.redis.start()


@_kind("power cut", "redis")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        scene.system.redis.cut(scene.random if scene.random.random() < 0.5 else None)
        _hold(scene.random.uniform(0, 1))
        scene.system.redis.start()


@_kind("MongoDB is killed", "mongo")
def _(scene: Scene) -> None:
    scene.system.mongo.kill()
    _hold(scene.random.uniform(0, 3))
    scene.system.mongo.start()


@_kind("everything is killed at once", "all")
def _(scene: Scene) -> None:
    system = scene.system
    with _redis_away(scene):
        for program in system.programs:
            program.signal(signal.SIGKILL)
        system.mongo.kill()
        system.redis.cut()
        system.redis.start()
        system.mongo.start()


# -- processes are asked to stop ------------------------------------------------------------------------------------


@_kind("a worker with long jobs is stopped (SIGTERM)", "worker")
def _(scene: Scene) -> None:
    for _ in range(3):
        scene.trouble.send("wait", {"ms": 2000})
        scene.trouble.send("work", {"ms": 1500})
        scene.trouble.send("wait", {"ms": 9000})  # longer than the grace time
    _restart(_worker(scene))


@_kind("an API is stopped (SIGTERM)", "api")
def _(scene: Scene) -> None:
    _restart(scene.random.choice(scene.system.apis))


# -- processes stand still ------------------------------------------------------------------------------------------


@_kind("a worker stands still beyond its leases", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    everything = worker.pids()
    with _stands_still(scene, everything):
        _freeze(everything, _beyond(scene))


@_kind("a lease keeper stands still beyond its leases", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    lease_keeper = _found(lambda: worker.lease_keeper)
    with _stands_still(scene, worker.pids()):  # nobody renews the leases of the others
        _freeze([lease_keeper], _beyond(scene))


@_kind("a pool process stands still", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    frozen = [scene.random.choice(_found(lambda: worker.pool))]
    with _stands_still(scene, frozen, silent=False):  # the lease keeper renews its leases
        _freeze(frozen, _beyond(scene))


@_kind("Celery's parent stands still", "worker")
def _(scene: Scene) -> None:
    worker = _worker(scene)
    _freeze([_found(lambda: worker.celery)], 2)


@_kind("an API stands still", "api")
def _(scene: Scene) -> None:
    _freeze(scene.random.choice(scene.system.apis).pids(), 2)


@_kind("Redis stands still", "redis")
def _(scene: Scene) -> None:
    process = scene.system.redis.process
    assert process is not None
    with _redis_away(scene):
        process.send_signal(signal.SIGSTOP)
        _hold(scene.random.uniform(1, 3))
        process.send_signal(signal.SIGCONT)


@_kind("MongoDB stands still", "mongo")
def _(scene: Scene) -> None:
    pid = scene.system.mongo.pid
    os.kill(pid, signal.SIGSTOP)
    _hold(3)
    os.kill(pid, signal.SIGCONT)


# -- the network ----------------------------------------------------------------------------------------------------


@_kind("Redis answers slowly", "network")
def _(scene: Scene) -> None:
    with _redis_away(scene, silent=False):
        for proxy in _proxies(scene):
            proxy.delay(0.03, 0.1)
        _hold(2)
        _heal(scene)


@_kind("packets to Redis are lost", "network")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        for proxy in _proxies(scene):
            proxy.stall()
        _hold(scene.random.uniform(1, 3))
        _heal(scene)


@_kind("a worker is cut off from Redis beyond its leases", "network")
def _(scene: Scene) -> None:
    worker, from_ns = _worker(scene), time.monotonic_ns()
    proxy = scene.system.proxies[worker.name]
    proxy.stall()
    _hold(_beyond(scene))
    if scene.random.random() < 0.5:
        proxy.reset()  # what was on the way is lost; otherwise it arrives late
    proxy.heal()
    scene.system.disturbed(from_ns, program=worker)


@_kind("connections to Redis are reset", "network")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        for _ in range(8):
            for proxy in _proxies(scene):
                proxy.reset()
            _hold(0.2)


@_kind("Redis refuses connections", "network")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        for proxy in _proxies(scene):
            proxy.refuse()
            proxy.close()
        _hold(scene.random.uniform(1, 3))
        _heal(scene)


@_kind("answers of Redis are cut short", "network")
def _(scene: Scene) -> None:
    with _redis_away(scene):
        for proxy in _proxies(scene):
            proxy.truncate()
        _hold(1)
        _heal(scene)


@_kind("MongoDB cannot be reached", "mongo")
def _(scene: Scene) -> None:
    proxy = scene.system.mongo_proxy
    if scene.random.random() < 0.5:
        proxy.stall()
    else:
        proxy.refuse()
        proxy.reset()
    _hold(3)
    proxy.heal()


# -- memory, disk, clocks -------------------------------------------------------------------------------------------


@_kind("Redis is out of memory", "redis")
def _(scene: Scene) -> None:
    with scene.system.redis.client() as client:
        client.config_set("maxmemory", "1mb")
        _hold(2)
        client.config_set("maxmemory", "0")


@_kind("the disk of Redis is full", "redis")
def _(scene: Scene) -> None:
    """Under `always` the server ends itself when it cannot write; without it, and once there is room, it starts again."""
    server = scene.system.redis
    with _redis_away(scene):
        server.disk_full(True)
        wait_for(
            lambda: _ended(scene.system) or _write(scene.system), GONE_SECONDS, "Redis meets the full disk"
        )
        _hold(scene.random.uniform(0, 1))
        server.disk_full(False)
        server.kill()
        server.start()


@_kind("the disk of Redis is slow", "redis")
def _(scene: Scene) -> None:
    with _redis_away(scene, silent=False):
        scene.system.redis.disk_slow(scene.random.randrange(20, 60))
        _hold(2)
        scene.system.redis.disk_slow(0)


@_kind("a worker's clock is off by minutes", "worker")
def _(scene: Scene) -> None:
    _wrong_clock(scene, _worker(scene))


@_kind("an API's clock is off by minutes", "api")
def _(scene: Scene) -> None:
    _wrong_clock(scene, scene.random.choice(scene.system.apis))


# -- handlers -------------------------------------------------------------------------------------------------------


@_kind("a handler kills its process", "handler")
def _(scene: Scene) -> None:
    scene.trouble.send_and_wait("die", {"times": scene.random.randrange(1, 4)})


@_kind("a handler leaks memory until it is killed", "handler")
def _(scene: Scene) -> None:
    scene.trouble.send_and_wait("leak", {"times": 1})


@_kind("a handler never returns", "handler")
def _(scene: Scene) -> None:
    scene.trouble.send_and_wait("hang", {"times": scene.random.randrange(1, 3)})


@_kind("a handler forks", "handler")
def _(scene: Scene) -> None:
    scene.trouble.send_and_wait("fork", {"ms": 1000})


@_kind("a handler closes every file descriptor", "handler")
def _(scene: Scene) -> None:
    scene.trouble.send_and_wait("close", {"times": 1})


# -- small things ---------------------------------------------------------------------------------------------------


def _worker(scene: Scene) -> Worker:
    return scene.random.choice(scene.system.workers)


def _found(look: Callable[[], T | None]) -> T:
    """What is to be hit, as soon as it is there: it may just be started."""
    found = wait_for(look, GONE_SECONDS, "there is such a process")
    assert found is not None
    return found


def _kill(pid: int) -> None:
    _signal(signal.SIGKILL, [pid])
    wait_for(lambda: not runs(pid), GONE_SECONDS, f"process {pid} is gone")


def _beyond(scene: Scene) -> float:
    return scene.system.limits.lease_seconds * BEYOND_LEASE


def _restart(program: Program) -> None:
    """SIGTERM, as a kubelet sends it to the first process; returns when the program has ended and been started again."""
    starts = program.starts
    _signal(signal.SIGTERM, [program.pid])
    wait_for(lambda: program.starts > starts, GONE_SECONDS, f"{program.name} has ended and is started again")


def _freeze(pids: list[int], seconds: float) -> None:
    _signal(signal.SIGSTOP, pids)
    _hold(seconds)
    _signal(signal.SIGCONT, pids)


def _signal(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def _stands_still(scene: Scene, pids: list[int], *, silent: bool = True) -> Iterator[None]:
    """These processes are slow inside; `silent`: and their leases are not renewed."""
    from_ns, processes = time.monotonic_ns(), names(pids)
    yield
    scene.system.stood_still(processes, from_ns, time.monotonic_ns(), silent=silent)


def _proxies(scene: Scene) -> list[Proxy]:
    return list(scene.system.proxies.values())


def _heal(scene: Scene) -> None:
    for proxy in _proxies(scene):
        proxy.heal()


@contextlib.contextmanager
def _redis_away(scene: Scene, *, silent: bool = True) -> Iterator[None]:
    from_ns = time.monotonic_ns()
    yield
    scene.system.disturbed(from_ns, silent=silent)


def _ended(system: System) -> bool:
    return system.redis.process is None or system.redis.process.poll() is not None


def _write(system: System) -> bool:
    """Make the server write, so that it meets its disk. False, for that alone is no end."""
    with contextlib.suppress(redis.RedisError), system.redis.client() as client:
        client.set("faults", 1, px=1000)
    return False


def _wrong_clock(scene: Scene, program: Program) -> None:
    off_seconds = scene.random.choice((-1, 1)) * scene.random.randrange(120, 900)
    program.extra = {"LD_PRELOAD": str(built("clock")), "FAULTS_CLOCK_SECONDS": str(off_seconds)}
    _restart(program)
    _hold(2)
    program.extra = {}
