"""What happened around a breach: the attempts of its job, what was said of it at the end, and the faults of that time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chaos.checker.verdict import Violation
from chaos.records import History, lines

NEAR_NS = 12_000_000_000
MOST = 5
"""Breaches that are explained."""


def explain(records: Path, history: History, violations: tuple[Violation, ...]) -> Iterator[str]:
    """Lines of text. Times in seconds since the first attempt of all."""
    zero_ns = min((attempt.start_ns for attempt in history.attempts), default=0)
    faults = [line for line in lines(records) if line["kind"] == "fault"]
    deaths = {death.process: death for death in history.deaths}

    def at(ns: int | None) -> str:
        return "-" if ns is None else f"{(ns - zero_ns) / 1e9:.3f}"

    for violation in violations[:MOST]:
        yield f"{violation.rule}: {violation.user} {violation.job_id}: {violation.text}"
        seen = [attempt for attempt in history.attempts if attempt.job_id == violation.job_id]
        for attempt in seen:
            died = deaths.get(attempt.process)
            yield (
                f"  attempt {attempt.attempt} in {attempt.process}: {at(attempt.start_ns)} to {at(attempt.end_ns)}, "
                f"{attempt.outcome}" + (f", process died at {at(died.at_ns)}" if died else "")
            )
        for ending in history.endings:
            if ending.job_id == violation.job_id:
                yield f"  {ending.source} says {ending.state}, {ending.attempts} attempts, {ending.result}"
        for fault in faults:
            if any(fault["from_ns"] - NEAR_NS < one.start_ns < fault["lifted_ns"] + NEAR_NS for one in seen):
                yield f"  fault {at(fault['from_ns'])} to {at(fault['lifted_ns'])}: {fault['name']}"
