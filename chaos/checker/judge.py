"""Applies every rule to a history."""

from __future__ import annotations

from chaos.checker import blame, endings, order
from chaos.checker.timeline import Timeline
from chaos.checker.verdict import Findings, Rule, Verdict
from chaos.records import History


def judge(history: History) -> Verdict:
    """Apply every rule. The time it takes grows linearly with the number of records."""
    timeline = Timeline(history)
    reports = endings.by_job(history)
    damaged = {job.job_id for job in history.damaged}
    intact = {job_id: some for job_id, some in reports.items() if job_id not in damaged}
    findings: dict[Rule, Findings] = {
        Rule.LOST: endings.check_lost(history, reports),
        Rule.NO_END: endings.check_ended(reports),
        Rule.TWO_ENDS: endings.check_one_end(reports),
        Rule.UNREQUESTED: endings.check_requested(history, intact),
        Rule.ACCEPTANCE: order.check_acceptance(history),
        Rule.START_ORDER: order.check_starts(history, timeline),
        Rule.RETRY_ORDER: order.check_retries(history, timeline),
        Rule.SLOTS: order.check_slots(history, timeline),
        Rule.ONE_LEASE: order.check_leases(timeline),
        Rule.LATE_FINISH: endings.check_late_finishes(timeline, intact),
        Rule.RERUN: endings.check_reruns(timeline),
        Rule.ATTEMPTS: endings.check_attempts(history, timeline, reports),
        Rule.BLAME: blame.check_blame(history, timeline, intact),
        Rule.HISTORY: endings.check_agreement(history, timeline, intact),
    }
    checked = {rule: count for rule, (count, _) in findings.items()}
    return Verdict(checked, tuple(violation for _, found in findings.values() for violation in found))
