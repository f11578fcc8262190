"""A handler with a schema, for the form that the dashboard makes of it, two that log, and one that keeps its process busy."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from laneway import Context, handler


class Resize(BaseModel):
    """A picture and the size that it should get."""

    picture: str = Field(min_length=1, description="Its path in the bucket.")
    width: int = Field(ge=1, le=4096)
    fit: Literal["cover", "contain"] = "cover"
    sharpen: bool = False
    tags: list[str] = []
    note: str | None = None


@handler("talk")
def talk(payload: dict[str, str]) -> None:
    """Print the texts of the payload, the second one when the file `gate` exists, and end when `until` does, if it is given."""
    print(payload["first"])
    print("an error", file=sys.stderr)
    while not Path(payload["gate"]).exists():
        time.sleep(0.02)
    print(payload["second"])
    while "until" in payload and not Path(payload["until"]).exists():
        time.sleep(0.02)


@handler("chatter")
async def chatter(payload: dict[str, float], context: Context) -> None:
    """Log a line and report progress every 20 ms, for so many seconds."""
    steps = round(payload["seconds"] / 0.02)
    for step in range(steps):
        context.log(f"step {step} of {steps}: " + "x" * 60)
        context.progress(100 * step / steps)
        await asyncio.sleep(0.02)


@handler("resize")
def resize(job: Resize) -> dict[str, int | str]:
    """Scale a picture to a width."""
    return {"picture": job.picture, "width": job.width, "tags": len(job.tags)}


@handler("patient", backoff=60)
def patient(payload: None) -> None:
    """Fail, and be tried again a minute later."""
    raise RuntimeError("it fails, as it was asked to")


@handler("occupy")
def occupy(seconds: float) -> None:
    """Take a process for so long: a plain handler, of which a process runs one at a time."""
    time.sleep(seconds)


def _divide(by: int) -> float:
    return 1 / by


@handler("break_plain", attempts=1)
def break_plain(payload: dict[str, str]) -> float:
    """Fail in a function that the handler calls."""
    return _divide(0)


@handler("break_async", attempts=1)
async def break_async(payload: dict[str, str]) -> float:
    """Fail as `break_plain` does, after it has waited."""
    await asyncio.sleep(0)
    return _divide(0)
