"""What we need from inside kombu.

| entry | needs | why | upstream |
|---|---|---|---|
| `stored_message` | the form in which the Redis transport stores a message | our scripts push messages themselves | no issue: the form is not documented |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import Connection
from kombu.transport import virtual
from kombu.utils.json import dumps


class _CapturingChannel(virtual.Channel):
    """Keeps what is published. Overriding `_put` is kombu's documented way to write a virtual transport."""

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        del queue
        self.connection.published.append(message)


class _CapturingTransport(virtual.Transport):
    Channel = _CapturingChannel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.published: list[dict[str, Any]] = []


def stored_message(send: Callable[[Connection], object], delivery_tag: str) -> bytes:
    """Return the bytes that the Redis transport would push on the queue's list for the one message that `send` publishes.

    `delivery_tag` takes the place of the random tag that the transport gives each message. Nothing leaves the process.
    """
    with Connection(transport=_CapturingTransport) as connection:
        send(connection)
        (message,) = connection.transport.published
    message["properties"]["delivery_tag"] = delivery_tag
    return str(dumps(message)).encode()
