"""kopf's decorators, and nothing else: what they call is in `laneway.operator`.

Only `kopf.on.event` watches the pools. `kopf.timer` and `kopf.daemon` would put finalizers on them, and then a pool could not
be deleted after the operator has been uninstalled.
"""

from __future__ import annotations

from typing import Any

import kopf

from laneway.operator.__main__ import build
from laneway.operator.app import Operator
from laneway.operator.kopf_settings import configure
from laneway.operator.workerpool import GROUP, PLURAL, VERSION


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Start the operator's loops before kopf watches anything. An error, such as a taken port, ends the process."""
    configure(settings)
    memo.operator = build()
    await memo.operator.start()


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Stop the loops and give the lease back."""
    await memo.operator.stop()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_event(type: str | None, body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002
    """Pass watch events on. The memo of each pool holds what the operator's memo holds."""
    operator: Operator = memo.operator
    if type == "DELETED":
        operator.pool_deleted(str(body.metadata.name))
    else:
        operator.pool_changed(body)
