"""The checker accepts correct histories and finds each kind of breach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chaos import records
from chaos.checker.breaches import BREACHES, Broken
from chaos.checker.judge import judge
from chaos.checker.simulation import simulate
from chaos.checker.verdict import Rule
from chaos.records import (
    Accepted,
    Attempt,
    Cancelled,
    DamagedJob,
    DataLoss,
    Death,
    Disturbance,
    Ending,
    History,
    Limits,
    canonical,
)

S = 1_000_000_000


@st.composite
def histories(draw: st.DrawFn, *, faults: int = 6) -> tuple[History, Random]:
    limits = Limits(
        draw(st.sampled_from((1, 2, 5))), draw(st.sampled_from((1.0, 5.0))), draw(st.integers(1, 3))
    )
    random = Random(draw(st.integers(0, 2**32)))
    users, jobs = draw(st.integers(1, 4)), draw(st.integers(1, 14))
    history = simulate(random, limits, users=users, jobs=jobs, faults=draw(st.integers(0, faults)))
    return history, random


@given(histories())
@settings(max_examples=300, deadline=None)
def test_correct_histories_pass(drawn: tuple[History, Random]) -> None:
    verdict = judge(drawn[0])
    assert verdict.clean, verdict.violations
    assert sum(verdict.checked.values()) > 0


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.__name__)
@given(data=st.data())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_each_breach_is_found(breach: Callable[[History, Random], Broken], data: st.DataObject) -> None:
    history, random = data.draw(histories(faults=data.draw(st.sampled_from((0, 4)))))
    result = breach(history, random)
    assume(result is not None)
    assert result is not None
    broken, rules = result
    assert judge(broken).broken_rules() & rules, f"{breach.__doc__} was not found"


def _run(
    number: int, job: str, start: float, end: float | None, process: str = "a", **more: object
) -> Attempt:
    outcome = None if end is None else "succeeded"
    return replace(
        Attempt(
            job,
            "ann",
            number,
            process,
            int(start * S),
            None if end is None else int(end * S),
            outcome,
            canonical([job, number, process]) if end else None,
        ),
        **more,  # type: ignore[arg-type]
    )


def _end(job: str, attempts: int = 1, process: str = "a") -> list[Ending]:
    result = canonical([job, attempts, process])
    return [Ending(job, "ann", source, "succeeded", attempts, job, result) for source in ("api", "history")]


def _history(attempts: list[Attempt], endings: list[Ending], **more: object) -> History:
    jobs = sorted({attempt.job_id for attempt in attempts})
    accepted = tuple(Accepted(job, "ann", "c", order, 0, 1, job) for order, job in enumerate(jobs))
    history = History(Limits(1, 10, 3), accepted, attempts=tuple(attempts), endings=tuple(endings))
    return replace(history, **more)  # type: ignore[arg-type]


def test_a_killed_process_frees_its_slot_when_it_was_last_seen_alive() -> None:
    attempts = [_run(1, "j1", 1, None), _run(2, "j1", 12, 13, "b"), _run(1, "j2", 14, 15)]
    deaths = (Death("a", 2 * S, 2 * S + 1),)
    endings = [*_end("j1", 2, "b"), *_end("j2")]
    assert judge(_history(attempts, endings, deaths=deaths)).clean
    lives_longer = (Death("a", 12 * S + 1, 12 * S + 2),)
    assert Rule.ONE_LEASE in judge(_history(attempts, endings, deaths=lives_longer)).broken_rules()


def test_a_zombie_counts_until_its_lease_may_have_expired() -> None:
    def verdict(second_start: float) -> set[Rule]:
        attempts = [_run(1, "j1", 1, 20), _run(2, "j1", second_start, 19, "b")]
        frozen = (Disturbance("a", 2 * S, 18 * S),)
        return judge(_history(attempts, _end("j1", 2, "b"), disturbances=frozen)).broken_rules()

    assert verdict(12.0) == set()
    assert verdict(6.9) == {Rule.ONE_LEASE}  # within half a lease time nobody may take the job


def test_redis_away_disturbs_every_process() -> None:
    attempts = [_run(1, "j1", 1, 20), _run(2, "j1", 13, 14, "b")]
    away = (Disturbance(None, 2 * S, 12 * S),)
    assert judge(_history(attempts, _end("j1", 2, "b"), disturbances=away)).clean
    only_slow = (replace(away[0], renewals_blocked=False),)
    assert (
        Rule.ONE_LEASE in judge(_history(attempts, _end("j1", 2, "b"), disturbances=only_slow)).broken_rules()
    )


def test_a_handler_that_a_zombie_starts_for_a_lost_lease_is_ignored() -> None:
    attempts = [_run(1, "j1", 15, 16, "b"), _run(1, "j1", 20.1, 21), _run(1, "j2", 17, 18, "b")]
    frozen = (Disturbance("a", 2 * S, 20 * S),)
    endings = [*_end("j1", 1, "b"), *_end("j2", 1, "b")]
    assert judge(_history(attempts, endings, disturbances=frozen)).clean
    assert Rule.RETRY_ORDER in judge(_history(attempts, endings)).broken_rules()


def test_starts_within_50_ms_are_simultaneous_only_in_different_processes() -> None:
    def verdict(ahead_ms: float, process: str) -> set[Rule]:
        attempts = [_run(1, "j1", 1, 2), _run(1, "j2", 1 - ahead_ms / 1000, 2, process)]
        history = _history(attempts, [*_end("j1"), *_end("j2", 1, process)])
        return judge(replace(history, limits=Limits(2, 10, 3))).broken_rules()

    assert verdict(40, "b") == set()
    assert verdict(60, "b") == {Rule.START_ORDER}
    assert verdict(1, "a") == {Rule.START_ORDER}


def test_a_request_that_is_sent_again_keeps_its_first_place() -> None:
    accepted = (
        Accepted("j2", "ann", "c", 0, 3, 4, "second"),
        Accepted("j1", "ann", "c", 0, 5, 6, "first", key="k"),  # first sent at 1, without an answer
    )
    ambiguous = (records.Ambiguous("ann", "c", 1, "first", key="k"),)
    broken = judge(History(Limits(1, 10, 3), accepted, ambiguous)).broken_rules()
    assert Rule.ACCEPTANCE not in broken
    assert Rule.ACCEPTANCE in judge(History(Limits(1, 10, 3), accepted)).broken_rules()


def test_records_survive_the_disk_and_an_unfinished_line(tmp_path: Path) -> None:
    history = simulate(Random(4), Limits(2, 5.0, 3), users=3, jobs=8, faults=4)
    assert history.deaths or history.disturbances
    for number, kind in enumerate(
        ("accepted", "ambiguous", "cancelled", "endings", "deaths", "disturbances")
    ):
        for one in getattr(history, kind):
            records.write_record(tmp_path, f"notes-{number}", one)
    for number, attempt in enumerate(history.attempts):
        start = {"job_id": attempt.job_id, "user": attempt.user, "attempt": attempt.attempt}
        start |= {"process": attempt.process, "at_ns": attempt.start_ns}
        records.append_line(tmp_path, attempt.process, {"kind": "start", "run": str(number), **start})
        if attempt.end_ns is not None:
            end = {"at_ns": attempt.end_ns, "outcome": attempt.outcome}
            end["result"] = orjson.loads(attempt.result) if attempt.result else None
            records.append_line(tmp_path, attempt.process, {"kind": "end", "run": str(number), **end})
    with (tmp_path / "notes-0.jsonl").open("ab") as file:
        file.write(b'{"kind":"accepted","job_id":"half a li')
    again = records.read_history(tmp_path, history.limits)
    assert set(again.accepted) == set(history.accepted)
    assert set(again.attempts) == set(history.attempts)
    assert set(again.endings) == set(history.endings)
    assert judge(again).clean


def test_the_command_prints_the_table_and_its_exit_code_tells_whether_the_run_is_clean(
    tmp_path: Path,
) -> None:
    def check(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "chaos.checker", str(tmp_path), "1", "10", "3", *more]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    records.write_record(tmp_path, "client", Accepted("j1", "ann", "c", 0, 1, 2, "tag"))
    records.write_record(tmp_path, "end", Ending("j1", "ann", "api", "cancelled", 0, "tag"))
    records.write_record(tmp_path, "end", Ending("j1", "ann", "history", "cancelled", 0, "tag"))
    assert check().returncode == 1
    found = orjson.loads(check("--json").stdout)
    assert [violation["rule"] for violation in found["violations"]] == ["unrequested"]
    records.write_record(tmp_path, "client", Cancelled("ann", "j1"))
    clean = check()
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "Verdict: clean" in clean.stdout


def test_only_jobs_that_redis_still_held_may_be_gone_after_it_came_back_empty() -> None:
    def verdict(lost_at: float) -> set[Rule]:
        history = _history([_run(1, "j1", 3, 4), _run(1, "j2", 11, 14)], _end("j2"))
        return judge(replace(history, data_losses=(DataLoss(int(lost_at * S)),))).broken_rules()

    assert verdict(5.0) == set()
    assert verdict(0.0) == {Rule.LOST, Rule.HISTORY}
    assert verdict(10.0) == {Rule.LOST, Rule.HISTORY}  # by then MongoDB must have it


def test_a_job_whose_redis_came_back_empty_holds_no_slot() -> None:
    attempts = [_run(1, "j1", 1, 20), _run(1, "j2", 10, 21)]
    empty = (DataLoss(9 * S),)
    assert judge(_history(attempts, _end("j2"), data_losses=empty)).clean
    late = (DataLoss(11 * S),)
    assert Rule.SLOTS in judge(_history(attempts, _end("j2"), data_losses=late)).broken_rules()


def test_a_damaged_job_may_fail_and_its_neighbours_may_not() -> None:
    sources = ("api", "history", "dead_letters")
    failed = [Ending("j1", "ann", source, "failed", 0, "", None) for source in sources]
    history = _history([], failed, accepted=(Accepted("j1", "ann", "c", 0, 0, 1, "j1"),))
    assert judge(replace(history, damaged=(DamagedJob("ann", "j1"),))).clean
    assert {Rule.BLAME, Rule.UNREQUESTED} <= judge(history).broken_rules()


def test_a_deadly_job_may_fail_without_an_attempt_and_others_may_not() -> None:
    sources = ("api", "history", "dead_letters")
    failed = [Ending("j1", "ann", source, "failed", 0, "j1", None) for source in sources]
    history = _history([_run(1, "j1", 1, None)], failed, deaths=(Death("a", 2 * S, 2 * S + 1),))
    assert judge(history).broken_rules() == {Rule.BLAME}
    accepted = (replace(history.accepted[0], type="poison"),)
    deadly = replace(history.limits, deadly_types=frozenset({"poison"}))
    assert judge(replace(history, limits=deadly, accepted=accepted)).clean
