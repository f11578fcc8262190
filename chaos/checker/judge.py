"""Judge a run: pure functions from what was recorded to a verdict. Nothing here knows how the system works
inside.

`python -m chaos.checker.judge FOLDER CONCURRENCY LEASE_SECONDS MAX_ATTEMPTS` judges recorded files; it
prints the table, or with `--json` the machine-readable verdict, and exits with 1 when a promise was broken.
"""

from __future__ import annotations

from chaos.checker import endings, order
from chaos.checker.timeline import Timeline
from chaos.checker.verdict import Rule, Verdict, Violation
from chaos.records import History


def judge(history: History) -> Verdict:
    """Apply every rule. Takes time in proportion to what was recorded."""
    timeline = Timeline(history)
    said = endings.by_job(history)
    results: dict[Rule, tuple[int, list[Violation]]] = {
        Rule.LOST: endings.lost(history, said),
        Rule.NO_END: endings.unended(said),
        Rule.TWO_ENDS: endings.two_ends(said),
        Rule.UNASKED: endings.unasked(history, said),
        Rule.ACCEPTANCE: order.acceptance(history),
        Rule.START_ORDER: order.starts(history, timeline),
        Rule.RETRY_ORDER: order.retries(history, timeline),
        Rule.SLOTS: order.slots(history, timeline),
        Rule.ONE_LEASE: order.leases(timeline),
        Rule.LATE_FINISH: endings.late_finish(timeline, said),
        Rule.RERUN: endings.reruns(timeline),
        Rule.ATTEMPTS: endings.attempts(history, timeline, said),
        Rule.HISTORY: endings.agreement(history, timeline, said),
    }
    checked = {rule: count for rule, (count, _) in results.items()}
    return Verdict(checked, tuple(violation for _, found in results.values() for violation in found))
