"""The demo handlers: enough to try everything, and examples of how to write a handler."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from laneway import Context, Permanent, handler

_WORD = re.compile(r"\w+")
MAX_TEXT_BYTES = 10_000_000
MAX_PICTURE_PIXELS = 50_000_000
_folder: Path | None = None


def configure(*, faults: bool, folder: Path | None) -> None:
    """Set the folder that `wordcount` may read, and whether the type `crash` exists."""
    global _folder
    _folder = folder
    globals().pop("crash", None)
    if faults:

        @handler("crash")
        def crash(_payload: Any) -> None:
            """Kill the process that runs it."""
            os.kill(os.getpid(), signal.SIGKILL)

        globals()["crash"] = crash


@handler("echo")
def echo(payload: Any) -> Any:
    """Return the payload."""
    return payload


@handler("sleep")
async def sleep(payload: Any, context: Context) -> dict[str, float]:
    """Wait `{"seconds"}` and report progress ten times on the way."""
    seconds = _number(payload, "seconds", maximum=86_400)
    for tenth in range(1, 11):
        await asyncio.sleep(seconds / 10)
        if seconds >= 1:
            context.progress(10 * tenth)
    return {"slept_seconds": seconds}


@handler("flaky")
def flaky(payload: Any, context: Context) -> dict[str, int]:
    """Fail the first `{"fail_times"}` attempts, then succeed."""
    if context.attempt <= _number(payload, "fail_times", maximum=1000):
        raise RuntimeError(f"attempt {context.attempt} fails, as requested")
    return {"attempt": context.attempt}


@handler("wordcount")
def wordcount(payload: Any) -> dict[str, Any]:
    """Count the words of `{"text"}`, or of the file `{"path"}` in the configured folder."""
    words = Counter(word.lower() for word in _WORD.findall(_text(payload)))
    top = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {"words": words.total(), "distinct": len(words), "top": top}


@handler("thumbnail", soft_time_limit=60)
def thumbnail(payload: Any) -> dict[str, Any]:
    """Scale `{"image"}` (base64) so that its longer side has at most `{"size"}` pixels; returns a PNG in base64."""
    from PIL import Image  # noqa: PLC0415 - the API imports this module too and needs no pictures

    size = int(_number(payload, "size", minimum=1, maximum=4096))
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(_string(payload, "image"), validate=True)))
        if picture.width * picture.height > MAX_PICTURE_PIXELS:
            raise Permanent(f"the picture has more than {MAX_PICTURE_PIXELS} pixels")
        small = picture.convert("RGB")
    except (Image.DecompressionBombError, OSError, ValueError) as error:
        raise Permanent(f"'image' is not a picture in base64: {error}") from error
    small.thumbnail((size, size))
    out = io.BytesIO()
    small.save(out, "PNG")
    return {"image": base64.b64encode(out.getvalue()).decode(), "width": small.width, "height": small.height}


def _field(payload: Any, name: str) -> Any:
    if not isinstance(payload, dict) or name not in payload:
        raise Permanent(f"the request has no field {name!r}")
    return payload[name]


def _string(payload: Any, name: str) -> str:
    value = _field(payload, name)
    if not isinstance(value, str):
        raise Permanent(f"{name!r} is not a text")
    return value


def _number(payload: Any, name: str, *, minimum: float = 0, maximum: float) -> float:
    value = _field(payload, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise Permanent(f"{name!r} is not a number from {minimum} to {maximum}")
    return value


def _text(payload: Any) -> str:
    if isinstance(payload, dict) and "path" in payload:
        return _file(_string(payload, "path"))
    return _string(payload, "text")


def _file(path: str) -> str:
    if not _folder:
        raise Permanent("no folder is configured; set LANEWAY_DEMO_FOLDER")
    root = _folder.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root) or not target.is_file():
        raise Permanent(f"there is no file {path!r} in the folder")
    if target.stat().st_size > MAX_TEXT_BYTES:
        raise Permanent(f"the file has more than {MAX_TEXT_BYTES} bytes")
    return target.read_text("utf-8", errors="replace")
