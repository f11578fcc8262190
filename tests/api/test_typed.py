"""Requests for typed handlers: what fits is stored as it came, and each fault of what does not fit is reported with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from laneway.lanes.commands import Enqueue, EnqueueLimits
from laneway.lanes.model import JobState, NewJob
from tests.api.running import Api, problem

MODULE = '''
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from laneway import handler


class Resize(BaseModel):
    image: str
    width: int = Field(gt=0)
    price: Decimal = Decimal(0)


@handler("resize", attempts=7, soft_time_limit=5, time_limit=9, max_running=3, rate="10/s")
def resize(job: Resize) -> dict[str, int]:
    """Scale a picture."""
    import no_such_library_here  # the API has no need of it


@handler
def anything(payload: Any) -> Any: ...


@handler
def broken(n: "Broken"): ...


class Broken(BaseModel):
    n: int

    def model_post_init(self, _context):
        raise RuntimeError("a bug of the handler's author")
'''


@pytest.fixture
def typed(start_api: Callable[..., Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    (tmp_path / "typed_jobs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return start_api(handlers="typed_jobs")


def send(api: Api, body: str, user: str = "ann", path: str = "/api/enqueue") -> httpx.Response:
    headers = {"content-type": "application/json", **api.auth(user)}
    return api.http.post(path, content=body.encode(), headers=headers)


def errors(reply: httpx.Response) -> list[tuple[str, str]]:
    document = problem(reply, 400, "invalid-payload")
    assert document["detail"].startswith(document["errors"][0]["pointer"])
    return [(error["pointer"], error["detail"]) for error in document["errors"]]


def test_a_payload_that_fits_is_stored_as_it_came(typed: Api) -> None:
    """Every digit and blank of it. Options of the type are those of its handler."""
    payload = '{"image":"x", "width": 9007199254740993,"price":1.10000000000000000001}'
    reply = send(typed, f'{{"type":"resize","request":{payload}}}')
    assert reply.status_code == 200, reply.text
    job = typed.lanes.job(reply.json()["job_id"])
    assert (job["request"], job["max_attempts"]) == (payload, "7")


def test_each_fault_of_a_payload_is_reported_and_nothing_is_stored(typed: Api) -> None:
    user = typed.user()
    reply = send(typed, '{"type":"resize","request":{"width":0,"price":"dear"}}', user)
    assert errors(reply) == [
        ("#/body/request/image", "Field required"),
        ("#/body/request/width", "Input should be greater than 0"),
        ("#/body/request/price", "Input should be a valid decimal"),
    ]
    assert errors(send(typed, '{"type":"resize","request":null}', user))[0][0] == "#/body/request"
    assert typed.http.get("/api/queue", headers=typed.auth(user)).json()["queued"] == 0


def test_a_batch_is_refused_with_the_items_that_do_not_fit(typed: Api) -> None:
    fits = {"type": "resize", "request": {"image": "x", "width": 1}}
    items: list[Any] = [
        fits,
        {**fits, "request": {"image": "x"}},
        {"type": "anything", "request": None},
        fits,
    ]
    items.append({**fits, "request": {"image": 1, "width": 1}})
    user = typed.user()
    reply = send(typed, json.dumps({"requests": items}), user, "/api/enqueue/batch")
    assert [pointer for pointer, _ in errors(reply)] == [
        "#/body/requests/1/request/width",
        "#/body/requests/4/request/image",
    ]
    assert typed.http.get("/api/queue", headers=typed.auth(user)).json()["queued"] == 0
    assert (
        send(typed, json.dumps({"requests": [fits, items[2]]}), user, "/api/enqueue/batch").status_code == 200
    )


def test_a_batch_of_faults_is_reported_in_part(typed: Api) -> None:
    body = json.dumps({"requests": [{"type": "resize", "request": {}}] * 100})
    assert len(errors(send(typed, body, path="/api/enqueue/batch"))) == 20


def test_any_stays_possible(typed: Api) -> None:
    assert send(typed, '{"type":"anything","request":[{"width":"?"}]}').status_code == 200


def test_a_validator_that_breaks_is_a_bug_and_no_fault_of_the_client(typed: Api) -> None:
    problem(send(typed, '{"type":"broken","request":{"n":1}}'), 500, "internal")


def test_types_are_listed_with_their_schemas_and_limits(typed: Api) -> None:
    reply = typed.http.get("/api/types", headers=typed.auth("ann"))
    assert reply.status_code == 200
    types = {type_["name"]: type_ for type_ in reply.json()["types"]}
    assert list(types) == ["anything", "broken", "resize"]
    resize, anything = types["resize"], types["anything"]
    assert resize["description"] == "Scale a picture."
    assert resize["request"]["required"] == ["image", "width"]
    assert resize["result"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert (resize["max_attempts"], resize["soft_time_limit_seconds"], resize["time_limit_seconds"]) == (
        7,
        5,
        9,
    )
    assert (resize["max_running"], resize["rate"]) == (3, "10/s")
    assert (anything["max_running"], anything["rate"]) == (None, None)
    assert (anything["description"], anything["request"], anything["result"]) == ("", {}, {})
    assert (anything["max_attempts"], anything["time_limit_seconds"]) == (3, None)
    assert anything["request_max_bytes"] == typed.settings.request_max_bytes
    assert anything["result_max_bytes"] == typed.settings.result_max_bytes
    problem(typed.http.get("/api/types"), 401, "invalid-token")


def test_a_dead_letter_that_does_not_fit_any_more_is_not_retried(typed: Api) -> None:
    """It was accepted by a release that took other payloads."""
    user = typed.user()
    job = NewJob("0" * 12, "resize", b'{"width":-1}', 3)
    (job_id,) = typed.lanes.run(Enqueue(user, [job], EnqueueLimits())).job_ids
    (lease,) = typed.start(user)
    assert typed.lanes.finish(lease, state=JobState.FAILED, body=b'"no"') == [True]
    typed.archive()
    reply = typed.http.post(f"/api/admin/dead-letters/{user}/{job_id}/retry", headers=typed.admin())
    assert [pointer for pointer, _ in errors(reply)] == ["#/request/image", "#/request/width"]
