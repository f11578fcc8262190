"""Which failures are the same one: their kind is the error's type and the first line of its message without what varies."""

from __future__ import annotations

import re

import orjson

MAX_CHARACTERS = 200
UNREADABLE = "an error without a type"
UNSORTED = "a failure of an earlier version"
"""The kind of dead letters that have none: a program that did not know kinds has recorded them, during a rolling deploy say."""
_VARYING = [
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
]


def failure_of(error: bytes | None) -> str:
    """Return the kind of a failure, such as `TimeoutError: no answer within <n> s`. `error`: JSON text, as jobs have it."""
    try:
        found = orjson.loads(error or b"null")
        type_, message = str(found["type"]), str(found.get("message", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return UNREADABLE
    line = message.strip().partition("\n")[0][: 2 * MAX_CHARACTERS]
    for pattern, name in _VARYING:
        line = pattern.sub(name, line)
    return f"{type_}: {line}"[:MAX_CHARACTERS].rstrip(": ")
