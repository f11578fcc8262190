"""A handler that notes when it starts, as `celery_peer.stamp` does."""

from __future__ import annotations

from typing import Any

from bench.celery_peer import stamp as celery_stamp
from laneway import handler


@handler("stamp")
def stamp(payload: dict[str, Any]) -> None:
    celery_stamp(payload["path"], payload["key"])
