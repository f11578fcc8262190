"""Writes what handlers return as JSON text."""

from __future__ import annotations

import dataclasses
import math
from enum import Enum
from typing import Any

import orjson

from laneway.handlers.exact import WrittenFloat


def to_json(value: Any) -> bytes:
    """Return a result as JSON text. Raises TypeError, ValueError or RecursionError, with the reason, if it is not JSON."""
    if value is None:  # most handlers return nothing
        return b"null"
    text = orjson.dumps(value, default=_plain_float)
    if b"null" in text and (place := no_number(value)) is not None:
        raise ValueError(f"JSON has no NaN and no Infinity, and {place} is one: return None or a text")
    return text


def _plain_float(value: Any) -> float:
    """Accept the numbers of payloads that were read exactly. orjson refuses subclasses of float."""
    if isinstance(value, WrittenFloat):
        return float(value)
    raise TypeError


def no_number(value: Any) -> str | None:
    """Return the place of the first NaN or Infinity, which orjson writes as `null`: a JSON pointer. None if there is none."""
    todo: list[tuple[str, Any]] = [("#", value)]
    while todo:
        place, item = todo.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return place
        elif isinstance(item, Enum):
            todo.append((place, item.value))
        elif isinstance(item, dict):
            todo += reversed([(f"{place}/{name}", inner) for name, inner in item.items()])
        elif isinstance(item, list | tuple):
            todo += reversed([(f"{place}/{at}", inner) for at, inner in enumerate(item)])
        elif dataclasses.is_dataclass(item):
            names = [field.name for field in dataclasses.fields(item)]
            todo += reversed([(f"{place}/{name}", getattr(item, name, None)) for name in names])
    return None
