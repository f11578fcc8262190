"""Redis and MongoDB are killed, frozen, out of memory, or on a bad disk."""

from __future__ import annotations

import contextlib
import os
import signal

import redis

from chaos.faults.fault import GONE_SECONDS, Fault, Scene, hold
from chaos.system.programs import wait_for
from chaos.system.system import System


def kill_redis(scene: Scene) -> None:
    """Kill Redis for up to two seconds."""
    with scene.redis_trouble():
        scene.system.redis.kill()
        hold(scene.random.uniform(0, 2))
        scene.system.redis.start()


def kill_redis_beyond_leases(scene: Scene) -> None:
    """Kill Redis until all leases have expired."""
    with scene.redis_trouble():
        scene.system.redis.kill()
        hold(scene.beyond_lease_seconds())
        scene.system.redis.start()


def cut_power(scene: Scene) -> None:
    """Kill Redis and take from its disk what was not synced, all of it or a random part."""
    with scene.redis_trouble():
        scene.system.redis.cut_power(scene.random if scene.random.random() < 0.5 else None)
        hold(scene.random.uniform(0, 1))
        scene.system.redis.start()


def freeze_redis(scene: Scene) -> None:
    """Freeze Redis for one to three seconds."""
    process = scene.system.redis.process
    assert process is not None
    with scene.redis_trouble():
        process.send_signal(signal.SIGSTOP)
        hold(scene.random.uniform(1, 3))
        process.send_signal(signal.SIGCONT)


def fill_redis_memory(scene: Scene) -> None:
    """Let Redis refuse writes because its memory is used up."""
    with scene.system.redis.client() as client:
        client.config_set("maxmemory", "1mb")
        hold(2)
        client.config_set("maxmemory", "0")


def fill_redis_disk(scene: Scene) -> None:
    """Let Redis meet a full disk: under `appendfsync always` it ends itself. It is started again once there is room."""
    server = scene.system.redis
    with scene.redis_trouble():
        server.fill_disk(True)
        wait_for(lambda: _ended_after_write(scene.system), GONE_SECONDS, "Redis meets the full disk")
        hold(scene.random.uniform(0, 1))
        server.fill_disk(False)
        server.kill()
        server.start()


def slow_redis_disk(scene: Scene) -> None:
    """Delay each sync of Redis."""
    with scene.redis_trouble(renewals_blocked=False):
        scene.system.redis.slow_disk(scene.random.randrange(20, 60))
        hold(2)
        scene.system.redis.slow_disk(0)


def kill_mongo(scene: Scene) -> None:
    """Kill MongoDB for up to three seconds."""
    scene.system.mongo.kill()
    hold(scene.random.uniform(0, 3))
    scene.system.mongo.start()


def freeze_mongo(scene: Scene) -> None:
    """Freeze MongoDB."""
    pid = scene.system.mongo.pid
    os.kill(pid, signal.SIGSTOP)
    hold(3)
    os.kill(pid, signal.SIGCONT)


def kill_everything(scene: Scene) -> None:
    """Kill every process of the system at once, with a power cut for Redis."""
    system = scene.system
    with scene.redis_trouble():
        for program in system.programs:
            program.signal(signal.SIGKILL)
        system.mongo.kill()
        system.redis.cut_power()
        system.redis.start()
        system.mongo.start()


FAULTS = (
    Fault("Redis is killed", "redis", kill_redis),
    Fault("Redis is away beyond the leases", "redis", kill_redis_beyond_leases),
    Fault("power cut", "redis", cut_power),
    Fault("Redis is frozen", "redis", freeze_redis),
    Fault("Redis is out of memory", "redis", fill_redis_memory),
    Fault("the disk of Redis is full", "redis", fill_redis_disk),
    Fault("the disk of Redis is slow", "redis", slow_redis_disk),
    Fault("MongoDB is killed", "mongo", kill_mongo),
    Fault("MongoDB is frozen", "mongo", freeze_mongo),
    Fault("everything is killed at once", "all", kill_everything),
)


def _ended_after_write(system: System) -> bool:
    """Make the server write, so that it uses its disk, and return whether it has ended."""
    with contextlib.suppress(redis.RedisError), system.redis.client() as client:
        client.set("chaos", 1, px=1000)
    return not system.redis.running
