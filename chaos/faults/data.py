"""Redis loses a key, or everything."""

from __future__ import annotations

import time

from chaos.faults.fault import Fault, Scene
from chaos.records import DamagedJob, DataLoss, write_record
from laneway.lanes.commands import Limit
from laneway.lanes.store import Lanes, connect

MENDABLE = ("ring", "lanes", "retries", "turn", "turns", "wakeups", "clock", "expiry")
"""Keys that the system makes again from what is left."""


def delete_shared_key(scene: Scene) -> None:
    """Delete a key that all lanes share."""
    with scene.system.redis.client() as redis:
        redis.delete(scene.system.keys.prefix + scene.random.choice(MENDABLE))


def delete_request(scene: Scene) -> None:
    """Delete the request of a job that waits in its lane. That job ends as failed; all others go on."""
    system = scene.system
    sent = [scene.requests.send("wait", {"ms": 1500}) for _ in range(8 * len(scene.requests.users))]
    user, job_id = sent[-1]
    write_record(system.records, "faults", DamagedJob(user, job_id))
    with system.redis.client() as redis:
        redis.delete(f"{system.keys.prefix}spec:{job_id}")
    for job in sent:
        scene.requests.await_end(*job)


def empty_redis(scene: Scene) -> None:
    """Empty Redis, as a restart without its data does. Only the limits of lanes are set again."""
    system = scene.system
    with scene.redis_trouble(), connect(system.redis.url) as client:
        for proxy in scene.proxies():
            proxy.stall()
        lanes = Lanes(client, system.keys)
        limits = client.hgetall(system.keys.prefix + "limits")
        client.flushall()
        write_record(system.records, "faults", DataLoss(time.monotonic_ns()))
        for field, slots in limits.items():
            if field.startswith(b"c:"):
                lanes.run(Limit(field[2:].decode(), int(slots)))
        scene.heal_network()


FAULTS = (
    Fault("a key that all lanes share vanishes", "redis", delete_shared_key),
    Fault("the request of a queued job vanishes", "redis", delete_request),
    Fault("Redis comes back empty", "all", empty_redis),
)
