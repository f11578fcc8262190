"""The rule about whose fault a failure is.

Only an attempt that came to an end of its own is charged: the handler raised, or its time limit ended it. A run that was cut short
because its process or its worker died costs the job nothing. So a job of a harmless type fails for good only if its handler raised
in every attempt it had, or raised `Permanent` once. `Limits.deadly_types` names the types whose handlers kill their processes.
"""

from __future__ import annotations

from chaos.checker.requests import max_attempts, types_by_job
from chaos.checker.timeline import Timeline
from chaos.checker.verdict import Findings, Reports, Rule, Violation
from chaos.records import Attempt, Ending, History


def check_blame(history: History, timeline: Timeline, reports: Reports) -> Findings:
    """A job of a harmless type fails only by its own handler, whatever other jobs do to its processes."""
    attempts = {
        job_id: [span.attempt for span in spans] for lane in timeline.lanes for job_id, spans in lane.jobs
    }
    limits, types = max_attempts(history, reports), types_by_job(history, reports)
    checked = 0
    found = []
    for job_id, endings in reports.items():
        if types[job_id] in history.limits.deadly_types:
            continue
        checked += 1
        failed = next((ending for ending in endings if ending.state == "failed"), None)
        if failed and (text := _innocent(failed, attempts.get(job_id, []), limits[job_id])):
            found.append(Violation(Rule.BLAME, failed.user, job_id, text))
    return checked, found


def _innocent(failed: Ending, attempts: list[Attempt], limit: int) -> str | None:
    """Return why the handler of a failed job is not to blame, or None if it is."""
    if any(attempt.outcome == "permanent" for attempt in attempts):
        return None
    if failed.attempts < limit:
        return f"failed after {failed.attempts} of {limit} attempts"
    raised = {attempt.attempt for attempt in attempts if attempt.outcome == "raised"}
    if missing := set(range(1, limit + 1)) - raised:
        return f"failed, but its handler never raised in attempt {min(missing)}"
    return None
