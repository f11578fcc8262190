"""A handler with a schema, for the form that the dashboard makes of it, one that prints, and one that keeps its process busy."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from laneway import handler


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
    """Print the texts of the payload, the second one when the file that it names exists."""
    print(payload["first"])
    print("an error", file=sys.stderr)
    while not Path(payload["gate"]).exists():
        time.sleep(0.02)
    print(payload["second"])


@handler("resize")
def resize(job: Resize) -> dict[str, int | str]:
    """Scale a picture to a width."""
    return {"picture": job.picture, "width": job.width, "tags": len(job.tags)}


@handler("occupy")
def occupy(seconds: float) -> None:
    """Take a process for so long: a plain handler, of which a process runs one at a time."""
    time.sleep(seconds)
