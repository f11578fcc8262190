"""The network between the programs and their servers fails."""

from __future__ import annotations

import time

from chaos.faults.fault import Fault, Scene, hold


def slow_network(scene: Scene) -> None:
    """Delay everything between the programs and Redis."""
    with scene.redis_trouble(renewals_blocked=False):
        for proxy in scene.proxies():
            proxy.delay(0.03, 0.1)
        hold(2)
        scene.heal_network()


def stall_network(scene: Scene) -> None:
    """Forward nothing between the programs and Redis."""
    with scene.redis_trouble():
        for proxy in scene.proxies():
            proxy.stall()
        hold(scene.random.uniform(1, 3))
        scene.heal_network()


def cut_off_worker(scene: Scene) -> None:
    """Cut one worker off from Redis until its leases have expired. What was on its way is lost, or arrives late."""
    worker, from_ns = scene.worker(), time.monotonic_ns()
    proxy = scene.system.proxies[worker.name]
    proxy.stall()
    hold(scene.beyond_lease_seconds())
    if scene.random.random() < 0.5:
        proxy.reset()
    proxy.heal()
    scene.system.record_redis_trouble(from_ns, program=worker)


def reset_connections(scene: Scene) -> None:
    """Reset all connections to Redis, several times."""
    with scene.redis_trouble():
        for _ in range(8):
            for proxy in scene.proxies():
                proxy.reset()
            hold(0.2)


def refuse_connections(scene: Scene) -> None:
    """Close all connections to Redis and refuse new ones."""
    with scene.redis_trouble():
        for proxy in scene.proxies():
            proxy.refuse()
            proxy.close()
        hold(scene.random.uniform(1, 3))
        scene.heal_network()


def truncate_answers(scene: Scene) -> None:
    """Break connections to Redis in the middle of an answer."""
    with scene.redis_trouble():
        for proxy in scene.proxies():
            proxy.truncate()
        hold(1)
        scene.heal_network()


def cut_off_mongo(scene: Scene) -> None:
    """Cut all programs off from MongoDB."""
    proxy = scene.system.mongo_proxy
    if scene.random.random() < 0.5:
        proxy.stall()
    else:
        proxy.refuse()
        proxy.reset()
    hold(3)
    proxy.heal()


FAULTS = (
    Fault("Redis answers slowly", "network", slow_network),
    Fault("packets to Redis are lost", "network", stall_network),
    Fault("a worker is cut off from Redis beyond its leases", "network", cut_off_worker),
    Fault("connections to Redis are reset", "network", reset_connections),
    Fault("Redis refuses connections", "network", refuse_connections),
    Fault("answers of Redis are cut short", "network", truncate_answers),
    Fault("MongoDB cannot be reached", "mongo", cut_off_mongo),
)
