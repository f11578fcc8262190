"""Judge a run: pure functions from what was recorded to a verdict. Nothing here knows how the system works
inside.

`python -m tests.faults.checker FOLDER CONCURRENCY LEASE_SECONDS MAX_ATTEMPTS` judges recorded files; it
prints the table, or with `--json` the machine-readable verdict, and exits with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from tests.faults import endings, order
from tests.faults.record import History, Limits, read
from tests.faults.timeline import Timeline
from tests.faults.verdict import Rule, Verdict, Violation


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


def main() -> int:
    """Judge the files of one folder."""
    parser = argparse.ArgumentParser(description="Judge the recorded files of one run.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("lane_concurrency", type=int)
    parser.add_argument("lease_seconds", type=float)
    parser.add_argument("max_attempts", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    limits = Limits(given.lane_concurrency, given.lease_seconds, given.max_attempts)
    verdict = judge(read(given.folder, limits))
    if given.json:
        sys.stdout.write(verdict.json().decode() + "\n")
    else:
        verdict.show(Console())
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
