"""Handlers of limited types. Named in LANEWAY_HANDLERS by the tests of permits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from laneway import Context, handler
from tests.worker.handlers import noted


@handler("narrow", max_running=3, backoff=0)
def narrow(payload: Any, context: Context) -> None:
    """Keep the process for `ms`, in the first `times` runs if that is given; fail the first `fails` attempts."""
    with noted(payload, context) as number:
        if number <= payload.get("times", number):
            time.sleep(payload["ms"] / 1000)
        if context.attempt <= payload.get("fails", 0):
            raise RuntimeError(f"attempt {context.attempt} fails, as it was asked to")


@handler("narrowasync", max_running=3, backoff=0)
async def narrowasync(payload: Any, context: Context) -> None:
    """As `narrow`, beside others."""
    with noted(payload, context):
        await asyncio.sleep(payload["ms"] / 1000)
        if context.attempt <= payload.get("fails", 0):
            raise RuntimeError(f"attempt {context.attempt} fails, as it was asked to")


@handler("paced", rate="10/s")
async def paced(payload: Any, context: Context) -> None:
    """Wait for `ms`; at most ten start in a second."""
    with noted(payload, context):
        await asyncio.sleep(payload["ms"] / 1000)
