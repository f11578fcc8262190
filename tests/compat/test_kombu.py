"""Canaries: kombu's Redis transport stores messages in the form that our scripts push."""

from __future__ import annotations

import secrets
from typing import Any

import orjson
import redis
from celery import Celery
from kombu import Connection, Queue

from laneway.compat.kombu import stored_message

QUEUE, TAG = "turns", "@tag@"


def send(app: Celery, connection: Connection | None = None) -> None:
    app.send_task(
        "turn", task_id="1", connection=connection, exchange="", routing_key=QUEUE, reply_to="canary"
    )


def properties(message: dict[str, Any]) -> dict[str, Any]:
    """All but the tag, which is another one each time."""
    return {name: value for name, value in message["properties"].items() if name != "delivery_tag"}


def test_the_redis_transport_stores_what_we_push(redis_url: str) -> None:
    prefix = f"canary-{secrets.token_hex(6)}:"
    app = Celery("canary", broker=redis_url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[Queue(QUEUE, no_declare=True)],
        broker_transport_options={"global_keyprefix": prefix},
    )
    send(app)
    with redis.Redis.from_url(redis_url) as client:
        keys: Any = list(client.scan_iter(match=prefix + "*"))
        stored: Any = client.lrange(prefix + QUEUE, 0, -1)
        client.unlink(*keys)
    assert keys == [f"{prefix}{QUEUE}".encode()], "kombu writes other keys for a queue with `no_declare`"
    theirs = orjson.loads(stored[0])
    ours = orjson.loads(stored_message(lambda connection: send(app, connection), TAG))
    assert ours["properties"]["delivery_tag"] == TAG
    assert ours | {"properties": properties(ours)} == theirs | {"properties": properties(theirs)}, (
        "kombu's Redis transport stores messages in another form: see compat/kombu.py"
    )
