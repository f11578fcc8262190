"""Reads JSON so that a Decimal gets every digit of a number.

pydantic's own parser makes a double of a number with a fraction before a Decimal sees it. But it makes the Decimal of the double's
text, so a double whose text is the client's own is enough.
"""

from __future__ import annotations

import json
import re
from typing import Any

_FRACTION = re.compile(rb"[:,\[\s](-?\d+(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+))")


class WrittenFloat(float):
    """A float whose text is the one that the client wrote."""

    text: str

    def __str__(self) -> str:
        return self.text


def has_rounded_number(text: bytes) -> bool:
    """Whether a double changes the text of a number in this JSON. May be true for a number within a string, too."""
    return any(repr(float(number)) != number.decode() for number in _FRACTION.findall(b" " + text))


def loads(text: bytes) -> Any:
    """Parse JSON; numbers that a double would change are `WrittenFloat`."""
    return json.loads(text, parse_float=_written)


def _written(text: str) -> float:
    if repr(plain := float(text)) == text:
        return plain
    value = WrittenFloat(text)
    value.text = text
    return value
