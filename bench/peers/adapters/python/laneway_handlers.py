from __future__ import annotations

import asyncio
import time
from typing import Any

import records

from laneway.handlers import handler


@handler("noop")
def noop(payload: dict[str, Any]) -> None:
    records.append(payload["job"])


@handler("sleep")
def sleep(payload: dict[str, Any]) -> None:
    records.append(payload["job"])
    time.sleep(payload["milliseconds"] / 1000)


@handler("sleep_async")
async def sleep_async(payload: dict[str, Any]) -> None:
    records.append(payload["job"])
    await asyncio.sleep(payload["milliseconds"] / 1000)


@handler("compute")
def compute(payload: dict[str, Any]) -> None:
    records.append(payload["job"])
    _compute(payload["milliseconds"])


@handler("compute_async")
async def compute_async(payload: dict[str, Any]) -> None:
    records.append(payload["job"])
    _compute(payload["milliseconds"])


def _compute(milliseconds: int) -> None:
    """Use that much time of a processor."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass
