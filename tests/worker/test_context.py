"""Nothing of one user's job is left for the next one, and pool processes draw different random numbers."""

from __future__ import annotations

import decimal

import orjson
import pytest

from tests.worker.running import Worker


@pytest.mark.parametrize("type_", ["leaves", "leavesasync"])
def test_a_job_finds_nothing_of_the_job_before_it(shared: Worker, type_: str) -> None:
    system = shared.system
    users = [system.user() for _ in range(4)]
    ids = {user: system.enqueue(user, type_, *[f"secret of {user}"] * 5) for user in users}
    results = [orjson.loads(job.result or b"") for user in users for job in system.ended(user, ids[user])]
    assert {result["variable"] for result in results} == {"nothing"}
    assert {result["precision"] for result in results} == {decimal.DefaultContext.prec}
    assert [result["logged"] for result in results] == [{}] * len(results)
    if type_ == "leaves":  # async jobs share the generator while they overlap
        predicted = {result["predicted"] for result in results}
        assert not {result["dice"][1] for result in results} & predicted


def test_pool_processes_draw_different_numbers(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=10)
    jobs = system.ended(user, system.enqueue(user, "leaves", *["dice"] * 40))
    results = [orjson.loads(job.result or b"") for job in jobs]
    assert len({result["pid"] for result in results}) == 2
    for die in (0, 1):
        rolled = [result["dice"][die] for result in results]
        assert len(set(rolled)) == len(rolled)
