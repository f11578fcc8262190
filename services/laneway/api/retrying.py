"""Retries dead letters: enqueues their requests again."""

from __future__ import annotations

from laneway.api.intake import fingerprint
from laneway.api.routers.enqueue import report
from laneway.api.system import System
from laneway.api.unique_keys import raise_if_duplicate
from laneway.lanes.commands import Enqueue
from laneway.lanes.model import Accepted, Job


async def retry(system: System, letter: Job) -> Accepted:
    """Enqueue the request of a dead letter again, as a new job. Repeated within a day, it enqueues nothing.

    Raises Problem if no handler takes it any more or another job has its unique key, Refused and StoreUnavailable.
    """
    jobs = [system.intake.again(letter.type, letter.request, letter.unique_key)]
    # The blank keeps it apart from users' own idempotency keys.
    key = f"retry {letter.job_id}"
    accepted = await system.lanes.run(Enqueue(letter.user, jobs, system.limits, key, fingerprint(jobs)))
    raise_if_duplicate(accepted)
    report(system, letter.user, jobs, accepted)
    return accepted
