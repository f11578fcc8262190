"""Unique keys of requests: reads them, and refuses to run a request again whose key another job holds."""

from __future__ import annotations

import re
from typing import Any

from laneway.api.problem import Problem, bad_request
from laneway.lanes.model import Accepted

MAX_CHARACTERS = 128
"""The key is stored at the head of the job, beside its user and type."""
PATTERN = f"^[!-~]{{1,{MAX_CHARACTERS}}}$"
_KEY = re.compile(PATTERN.strip("^$"))


def unique_key_of(value: Any, pointer: str) -> str:
    """Return the unique key at `pointer` in the body. Raises Problem."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise bad_request(f"a unique key has 1 to {MAX_CHARACTERS} visible ASCII characters", pointer)
    return value


def raise_if_duplicate(accepted: Accepted) -> None:
    """Raise Problem if a request that is to run again made no job."""
    if accepted.duplicates:
        raise Problem(409, "unique-key-taken", "another job with the same unique key has not ended")
