from __future__ import annotations

import records

from laneway.handlers import handler


@handler("noop")
def noop(payload: dict[str, str]) -> None:
    records.append(payload["job"])
