"""A module of handlers that takes long to import."""

from __future__ import annotations

import time
from typing import Any

from laneway.handlers import handler

time.sleep(30)


@handler("slow_import")
def slow_import(payload: Any) -> Any:
    return payload
