"""Typed handlers in a worker: they get the validated object, and what does not fit fails at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from laneway.lanes.model import Job, JobState
from tests.worker.running import System, running

MODULE = """
from dataclasses import dataclass
from decimal import Decimal

from laneway import Context, handler


@dataclass
class Order:
    amount: Decimal
    count: int = 1


@dataclass
class Receipt:
    total: Decimal
    count: int


@handler
def plain(order: Order, context: Context) -> Receipt:
    return Receipt(order.amount, order.count)


@handler
async def overlapping(order: Order) -> Receipt:
    return {"total": str(order.amount), "count": order.count}


@handler
def wrong(order: Order) -> Receipt:
    return {"count": "many"}


@handler
async def wrong_too(order: Order) -> Receipt:
    return Receipt("much", 1)


@handler
def none(order: Order) -> None: ...
"""
NUMBER = Decimal("0.12345678901234567890123")


def parsed(text: bytes | None) -> Any:
    return orjson.loads(text or b"null")


def test_typed_handlers(system: System) -> None:
    (system.folder / "typed.py").write_text(MODULE)
    user = system.user(slots=20)
    exact = orjson.Fragment(f'{{"amount":{NUMBER},"count":9007199254740993}}')
    good = [system.enqueue(user, type_, exact)[0] for type_ in ("plain", "overlapping", "none")]
    misfits = [system.enqueue(user, type_, {"count": "x"})[0] for type_ in ("plain", "overlapping")]
    wrong = [system.enqueue(user, type_, {"amount": 1})[0] for type_ in ("wrong", "wrong_too")]
    with running(system, handlers="typed"):
        jobs = system.ended(user, [*good, *misfits, *wrong])
    receipt = {"total": str(NUMBER), "count": 9007199254740993}
    assert [parsed(job.result) for job in jobs[:3]] == [receipt, receipt, None]
    for job in jobs[3:5]:
        assert error(job, "InvalidPayload") == ["#/request/amount", "#/request/count"]
    assert error(jobs[5], "InvalidResult") == ["#/result/total", "#/result/count"]
    assert error(jobs[6], "InvalidResult") == ["#/result"]


def error(job: Job, type_: str) -> list[str]:
    """The pointers of the error with which the job failed at its first attempt."""
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    found = parsed(job.error)
    assert found["type"] == type_
    assert found["message"].startswith(found["errors"][0]["pointer"])
    return [fault["pointer"] for fault in found["errors"]]
