"""`laneway.testing.run`: a handler is called as in a worker, without servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from laneway import Context, Permanent, handler
from laneway.handlers.errors import HandlerError
from laneway.testing import FakeContext, run, run_async


@dataclass
class Order:
    amount: Decimal
    count: int = 1


@handler
def total(order: Order, context: Context) -> Decimal:
    context.progress(50, "half")
    if context.cancelled():
        raise Permanent(f"{context.user} stops attempt {context.attempt}")
    return order.amount * order.count


@handler
async def echo(payload: Any) -> Any:
    return payload


@handler
def wrong(payload: Any) -> list[int]:
    return payload  # type: ignore[no-any-return]


def test_payload_and_result_pass_through_json() -> None:
    """As in a worker; a payload may be given as the object that it stands for, too."""
    assert run(total, {"amount": "1.10", "count": 3}) == "3.30"
    assert run(total, Order(Decimal("1.10"), 3)) == "3.30"
    assert run(echo, (1, "a")) == [1, "a"]
    assert asyncio.run(run_async(echo, {"n": 2**63})) == {"n": 2**63}


def test_what_does_not_fit_is_refused_as_by_a_worker() -> None:
    with pytest.raises(Permanent, match="#/request/amount: Field required"):
        run(total, {"count": 3})
    with pytest.raises(Permanent, match="#/result/0"):
        run(wrong, ["x"])
    with pytest.raises(TypeError, match="serializable"):
        run(handler(lambda payload: object()))


def test_the_context_records_and_pretends() -> None:
    context = FakeContext()
    run(total, {"amount": 1}, context)
    assert context.reports == [(50.0, "half")]
    with pytest.raises(Permanent, match="ann stops attempt 2"):
        run(total, {"amount": 1}, FakeContext(user="ann", attempt=2, cancelled=True))


def test_the_context_collects_what_is_logged() -> None:
    context = FakeContext()

    @handler("talk")
    def talk(payload: object, context: Context) -> None:
        context.log("rows read", count=3, file=payload)
        context.log("two\nlines")

    run(talk, "a.csv", context)
    assert context.lines == ["rows read count=3 file=a.csv", "two", "lines"]


def test_a_function_that_is_no_handler_is_refused() -> None:
    with pytest.raises(HandlerError, match="decorate it with @handler"):
        run(len, [])
