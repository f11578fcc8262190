"""Reads `delay` and `not_before` of a request: when its job enters the lane."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from laneway.api.problem import bad_request
from laneway.lanes.model import us_at

MAX_DELAY_DAYS = 365
MAX_DELAY_SECONDS = MAX_DELAY_DAYS * 86_400
"""A delayed job is kept in Redis until it is due. For what is due later, use a database or a schedule."""
DELAY_FIELDS = {"delay", "not_before"}
"""Fields of a request that delay its job. It may have one of them."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


class Delay(NamedTuple):
    """The fields of `NewJob` of these names. Both are 0 if the job is not delayed."""

    delay_seconds: float = 0
    not_before_us: int = 0


NO_DELAY = Delay()


def delay_of(request: Mapping[str, Any], pointer: str) -> Delay:
    """Return the delay of the request at `pointer` in the body. A moment in the past is no delay. Raises Problem."""
    if request.keys() >= DELAY_FIELDS:
        raise bad_request("give 'delay' or 'not_before', not both", pointer)
    if "delay" in request:
        return Delay(delay_seconds=_seconds(request["delay"], f"{pointer}/delay"))
    if "not_before" in request:
        return Delay(not_before_us=_moment_us(request["not_before"], f"{pointer}/not_before"))
    return NO_DELAY


def _seconds(value: Any, pointer: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DELAY_SECONDS:
        raise bad_request(f"a delay is a number of seconds from 0 to {MAX_DELAY_SECONDS}", pointer)
    return value


def _moment_us(value: Any, pointer: str) -> int:
    try:
        moment = datetime.fromisoformat(value) if _RFC_3339.fullmatch(value) else None
    except (ValueError, TypeError):
        moment = None
    if moment is None:
        detail = "a moment is written as in RFC 3339, with its time zone: '2026-12-24T18:00:00Z'"
        raise bad_request(detail, pointer)
    if moment - datetime.now(UTC) > timedelta(days=MAX_DELAY_DAYS):
        raise bad_request(f"a job can be delayed by at most {MAX_DELAY_DAYS} days", pointer)
    return max(0, us_at(moment))
