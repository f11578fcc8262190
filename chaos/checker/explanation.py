"""What happened around a violation: the attempts of its job, what each source reports, and the faults of that time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chaos.checker.verdict import Violation
from chaos.records import Attempt, History, read_lines

NEAR_NS = 12_000_000_000
MAX_EXPLAINED = 5


def explain(records: Path, history: History, violations: tuple[Violation, ...]) -> Iterator[str]:
    """Yield lines of text about the first violations. Times are seconds since the first attempt of the run."""
    zero_ns = min((attempt.start_ns for attempt in history.attempts), default=0)
    faults = [line for line in read_lines(records) if line["kind"] == "fault"]

    def at(ns: int | None) -> str:
        return "-" if ns is None else f"{(ns - zero_ns) / 1e9:.3f}"

    deaths = {death.process: f", process died at {at(death.last_alive_ns)}" for death in history.deaths}
    for violation in violations[:MAX_EXPLAINED]:
        yield f"{violation.rule}: {violation.user} {violation.job_id}: {violation.text}"
        attempts = [attempt for attempt in history.attempts if attempt.job_id == violation.job_id]
        for one in attempts:
            yield (
                f"  attempt {one.attempt} in {one.process}: {at(one.start_ns)} to {at(one.end_ns)}, "
                f"{one.outcome}{deaths.get(one.process, '')}"
            )
        for ending in history.endings:
            if ending.job_id == violation.job_id:
                yield f"  {ending.source} reports {ending.state}, {ending.attempts} attempts, {ending.result}"
        for fault in faults:
            if _is_near(fault["from_ns"], fault["until_ns"], attempts):
                yield f"  fault {at(fault['from_ns'])} to {at(fault['until_ns'])}: {fault['name']}"


def _is_near(from_ns: int, until_ns: int, attempts: list[Attempt]) -> bool:
    return any(from_ns - NEAR_NS < attempt.start_ns < until_ns + NEAR_NS for attempt in attempts)
