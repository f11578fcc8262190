"""The job that the running code belongs to, by its context.

Tasks and `asyncio.to_thread` copy the context. A thread that a handler starts otherwise does not, so it belongs to no job.
"""

from __future__ import annotations

from contextvars import ContextVar

from laneway.lanes.model import Lease

current_job: ContextVar[Lease | None] = ContextVar("laneway_job", default=None)
