"""The message that starts a turn. Redis has its bytes, and the scripts push copies when the ring can use more processes.

A turn message carries no job and no state: losing, repeating or delaying one is harmless. Only this module knows what it
looks like.
"""

from __future__ import annotations

from pathlib import Path

from celery import Celery
from kombu import Connection

from laneway.compat.kombu import stored_message
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.worker import private_folder

QUEUE = "turns"
TASK = "turn"


def turn_message(app: Celery) -> bytes:
    """Return a turn message with TURN_PLACEHOLDER where each copy needs an id of its own."""

    def send(connection: Connection) -> None:
        app.send_task(
            TASK,
            task_id=TURN_PLACEHOLDER,
            connection=connection,
            exchange="",
            routing_key=QUEUE,
            ignore_result=True,
            retry=False,
        )

    return stored_message(send, TURN_PLACEHOLDER)


def leave(message: bytes, folder: Path) -> None:
    """Leave the turn message in the worker's folder for the lease keeper. The file appears complete."""
    path = private_folder.turn_message_path(folder)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(message)
    temporary.replace(path)
