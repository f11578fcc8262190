"""`POST /api/enqueue` and `/api/enqueue/batch`: what they accept, what they answer, and every kind of bad input."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.api.running import Api, problem, wait_for

JSON = {"content-type": "application/json"}
BATCH = "/api/enqueue/batch"


def send(api: Api, body: bytes, user: str = "", path: str = "/api/enqueue", **headers: str) -> httpx.Response:
    sent = (
        JSON
        | api.auth(user or api.user())
        | {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return api.http.post(path, content=body, headers=sent)


def test_a_request_is_accepted_and_stored_unchanged(api: Api) -> None:
    user = api.user()
    reply = send(
        api,
        '{"type": "wordcount", "request": {"text": "äß\\u0000😀", "n": [1, 2.5, null, true]}}'.encode(),
        user,
    )
    assert reply.status_code == 200
    answer = reply.json()
    assert answer.keys() == {"message", "job_id", "position", "duplicate"}
    assert (answer["message"], answer["position"]) == ("accepted", 1)
    job = api.lanes.job(answer["job_id"])
    assert (job["user"], job["type"], job["max_attempts"]) == (user, "wordcount", "3")
    assert json.loads(job["request"]) == {"text": "äß\u0000😀", "n": [1, 2.5, None, True]}


def test_the_type_may_be_left_out(api: Api) -> None:
    job_id = api.enqueue(api.user(), "x")
    assert api.lanes.job(job_id)["type"] == "echo"


@pytest.mark.parametrize("request_", [None, 0, "", False, [], {}])
def test_the_payload_may_be_any_json(api: Api, request_: Any) -> None:
    user = api.user()
    assert api.job(user, api.enqueue(user, request_))["request"] == request_


def test_positions_count_up(api: Api) -> None:
    user = api.user()
    positions = [send(api, b'{"request":1}', user).json()["position"] for _ in range(3)]
    assert positions == [1, 2, 3]


def test_concurrent_requests_of_a_user_are_all_accepted_in_one_order(api: Api) -> None:
    user = api.user()
    headers = api.auth(user)

    async def all_at_once() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=api.url, timeout=20) as client:
            replies = await asyncio.gather(
                *(client.post("/api/enqueue", json={"request": n}, headers=headers) for n in range(100))
            )
        return [reply.json() for reply in replies]

    answers = asyncio.run(all_at_once())
    assert sorted(answer["position"] for answer in answers) == list(range(1, 101))
    by_position = [answer["job_id"] for answer in sorted(answers, key=lambda answer: answer["position"])]
    assert [job_id for _, job_id in api.lanes.lane(user)] == by_position


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"request":1}x', id="more behind it"),
        pytest.param(b'{"request":NaN}', id="NaN"),
        pytest.param(b'{"request":-Infinity}', id="Infinity"),
        pytest.param(b'{"request":1e999}', id="a number beyond all doubles"),
        pytest.param(b'{"request":"\\ud800"}', id="half a surrogate"),
        pytest.param(b'{"request":"\xff\xfe"}', id="not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"request":1}', id="byte order mark"),
        pytest.param(b'{"request":' + b"[" * 100_000, id="open brackets"),
        pytest.param(b'{"request":' + b"[" * 500 + b"]" * 500 + b"}", id="500 deep"),
        pytest.param(b'{"request":' + b'{"a":' * 999 + b"1" + b"}" * 1000, id="1000 deep"),
        pytest.param(
            b'{"request":' + b"[" * 1000 + b"1" * 19 + b"]" * 1000 + b"}", id="deep with a long number"
        ),
        pytest.param(b'{"request":18446744073709551616}', id="65 bits"),
        pytest.param(b'{"request":[-9223372036854775809]}', id="a large negative number"),
        pytest.param(b'{"request":' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"request"', id="a string"),
        pytest.param(b"{}", id="no request"),
        pytest.param(b'{"type":"echo"}', id="a type alone"),
        pytest.param(b'{"request":1,"priority":5}', id="an unknown field"),
        pytest.param(b'{"request":1,"type":"echo","x":5}', id="a further field"),
    ],
)
def test_a_malformed_request_is_refused(api: Api, body: bytes) -> None:
    user = api.user()
    document = problem(send(api, body, user), 400, "bad-request")
    assert len(document["detail"]) < 300
    assert api.lanes.lane(user) == []


@pytest.mark.parametrize("type_", ["nope", "", 5, None, ["echo"], {"a": 1}, "echo ", "x" * 10_000])
def test_an_unknown_type_is_refused(api: Api, type_: Any) -> None:
    document = problem(send(api, json.dumps({"request": 1, "type": type_}).encode()), 400, "unknown-type")
    assert "wordcount" in document["detail"]
    assert document["errors"] == [{"pointer": "#/body/type", "detail": "unknown type"}]


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "0.12345678901234567890123"]
)
def test_64_bits_are_kept_exactly(api: Api, number: str) -> None:
    user = api.user()
    reply = send(api, b'{"request":%b}' % number.encode(), user)
    assert reply.status_code == 200
    assert api.job(user, reply.json()["job_id"])["request"] == json.loads(number)


NUMBERS = (
    "9999999999999999.01",
    "1.2345678901234567890123456",
    "1e-400",
    "-0",
    "-0.0",
    "1.50",
    "1E2",
    "0.1e1",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_stored_and_shown_as_they_were_written(api: Api, number: str) -> None:
    user = api.user()
    text = f'{{"b":{number},  "a":[{number}]}}'
    for body, path in (
        (f'{{"request": {text} }}', "/api/enqueue"),
        (f'{{"requests":[{{"request":{text}}}]}}', BATCH),
    ):
        answer = send(api, body.encode(), user, path).json()
        job_id = answer.get("job_id") or answer["job_ids"][0]
        assert api.lanes.job(job_id)["request"] == text
        shown = api.http.get(f"/api/jobs/{job_id}", headers=api.auth(user))
        assert f'"request":{text}' in shown.text


def test_a_payload_with_many_brackets_is_not_a_deep_one(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user, [[]] * 1000 + ["[" * 1000])
    assert api.job(user, job_id)["request"] == [[]] * 1000 + ["[" * 1000]


def test_a_string_of_digits_is_not_a_number(api: Api) -> None:
    assert send(api, b'{"request":"123456789012345678901234567890"}').status_code == 200


def test_of_duplicate_keys_the_last_one_counts(api: Api) -> None:
    user = api.user()
    job_id = send(api, b'{"request":{"a":1,"a":2},"request":{"b":1,"b":2}}', user).json()["job_id"]
    assert api.job(user, job_id)["request"] == {"b": 2}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ""]
)
def test_another_content_type_is_refused(api: Api, content_type: str) -> None:
    problem(send(api, b'{"request":1}', content_type=content_type), 400, "bad-request")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"]
)
def test_variants_of_the_json_content_type_are_accepted(api: Api, content_type: str) -> None:
    assert send(api, b'{"request":1}', content_type=content_type).status_code == 200


def test_the_largest_payload_is_accepted_and_one_byte_more_is_not(api: Api) -> None:
    most = api.settings.request_max_bytes
    fits = b'{"request":"%b"}' % (b"x" * (most - 2))
    assert send(api, fits).status_code == 200
    problem(send(api, b'{"request":"%b"}' % (b"x" * (most - 1))), 413, "body-too-large")


def test_a_body_over_the_limit_is_refused_by_its_length(api: Api) -> None:
    reply = send(api, b" " * (api.settings.request_max_bytes + 10_000))
    problem(reply, 413, "body-too-large")
    assert reply.headers["connection"] == "close"


def test_a_chunked_body_is_cut_off_at_the_limit(api: Api) -> None:
    """It has neither a length nor an end: the answer comes while the client still sends."""
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        token = api.auth(api.user())["authorization"]
        connection.sendall(
            f"POST /api/enqueue HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        for _ in range(api.settings.request_max_bytes // 0x4000 + 2):
            connection.sendall(chunk)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_within_the_limit_is_accepted(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"requ'
        yield b'est": "in pieces"}'

    user = api.user()
    reply = api.http.post("/api/enqueue", content=pieces(), headers=JSON | api.auth(user))
    assert reply.status_code == 200
    assert api.job(user, reply.json()["job_id"])["request"] == "in pieces"


def test_a_client_that_disconnects_during_its_body_does_no_harm(api: Api) -> None:
    user = api.user()
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        token = api.auth(user)["authorization"]
        connection.sendall(
            f"POST /api/enqueue HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
            'Content-Length: 1000\r\n\r\n{"request":1}'.encode()
        )
    assert api.enqueue(user)
    assert len(api.lanes.lane(user)) == 1


# -- idempotency --------------------------------------------------------------------------------------------------


def test_a_repeated_idempotency_key_returns_the_same_job(api: Api) -> None:
    user = api.user()
    first = send(api, b'{"request": {"a": 1}}', user, idempotency_key="k1")
    again = send(api, b'{ "request" : {"a":1} }', user, idempotency_key="k1")
    assert first.json() == again.json()
    assert len(api.lanes.lane(user)) == 1


def test_the_order_of_members_does_not_matter_to_an_idempotency_key(api: Api) -> None:
    """Other libraries, and other releases of the same one, write them in another order."""
    user = api.user()
    bodies = (
        b'{"request": {"a": 1.5, "b": {"c": [1, 2], "d": null}}, "type": "echo"}',
        b'{"type":"echo","request":{"b":{"d":null,"c":[1,2]},"a":1.5}}',
    )
    first, again = (send(api, body, user, idempotency_key="order") for body in bodies)
    assert first.json() == again.json()


def test_the_order_of_members_does_not_matter_to_the_idempotency_key_of_a_batch(api: Api) -> None:
    user = api.user()
    bodies = (
        b'{"requests": [{"request": {"a": 1, "b": 2}, "type": "echo"}, {"request": 3}]}',
        b'{"requests":[{"type":"echo","request":{"b":2,"a":1}},{"request":3}]}',
        b'{"requests":[{"request":3},{"type":"echo","request":{"b":2,"a":1}}]}',
    )
    first, again, other = (send(api, body, user, BATCH, idempotency_key="order") for body in bodies)
    assert first.status_code == 200
    assert first.json()["job_ids"] == again.json()["job_ids"]
    problem(other, 400, "idempotency-mismatch")


@pytest.mark.parametrize("other", [b"[2,1]", b'"[1,2]"', b"[1,2.0]", b"[1,2.00000000000000000000001]"])
def test_another_payload_is_refused_however_close_it_is(api: Api, other: bytes) -> None:
    user = api.user()
    assert send(api, b'{"request":[1,2]}', user, idempotency_key="close").status_code == 200
    problem(send(api, b'{"request":%b}' % other, user, idempotency_key="close"), 400, "idempotency-mismatch")


def test_an_idempotency_key_belongs_to_its_user(api: Api) -> None:
    replies = [send(api, b'{"request":1}', api.user(), idempotency_key="same") for _ in range(2)]
    assert replies[0].json()["job_id"] != replies[1].json()["job_id"]


@pytest.mark.parametrize("body", [b'{"request":2}', b'{"request":1,"type":"sleep"}'])
def test_an_idempotency_key_for_another_request_is_refused(api: Api, body: bytes) -> None:
    user = api.user()
    send(api, b'{"request":1}', user, idempotency_key="k")
    problem(send(api, body, user, idempotency_key="k"), 400, "idempotency-mismatch")
    assert len(api.lanes.lane(user)) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é", "a\tb"])
def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    headers = {name.encode(): value.encode() for name, value in (JSON | api.auth(api.user())).items()}
    headers[b"idempotency-key"] = key.encode("latin-1")
    problem(
        api.http.post("/api/enqueue", content=b'{"request":1}', headers=headers),
        400,
        "bad-request",
    )


def test_the_longest_idempotency_key_is_accepted(api: Api) -> None:
    assert send(api, b'{"request":1}', idempotency_key="!" + "~" * 254).status_code == 200


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_full_lane_answers_429_with_retry_after(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=2)
    user = api.user()
    assert [send(api, b'{"request":1}', user).status_code for _ in range(2)] == [200, 200]
    reply = send(api, b'{"request":1}', user)
    problem(reply, 429, "lane-full")
    assert int(reply.headers["retry-after"]) >= 1
    assert send(api, b'{"request":1}', api.user()).status_code == 200


def test_requests_that_come_too_fast_answer_429_with_retry_after(start_api: Callable[..., Api]) -> None:
    api = start_api(rate_per_second=1)
    user = api.user()
    replies = [send(api, b'{"request":1}', user) for _ in range(8)]
    refused = next(reply for reply in replies if reply.status_code != 200)
    problem(refused, 429, "too-fast")
    assert int(refused.headers["retry-after"]) >= 1


def test_a_full_history_backlog_answers_503(start_api: Callable[..., Api]) -> None:
    api = start_api(history_backlog=1)
    user = api.user()
    api.end(user)
    reply = send(api, b'{"request":1}', user)
    problem(reply, 503, "history-backlog")
    assert int(reply.headers["retry-after"]) >= 1
    api.archive()
    assert send(api, b'{"request":1}', user).status_code == 200


# -- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_is_accepted_in_its_order(api: Api) -> None:
    user = api.user()
    requests = [{"request": n, "type": "echo" if n % 2 else "sleep"} for n in range(1000)]
    reply = send(api, json.dumps({"requests": requests}).encode(), user, BATCH)
    assert reply.status_code == 200
    job_ids = reply.json()["job_ids"]
    assert [job_id for _, job_id in api.lanes.lane(user)] == job_ids
    assert [api.lanes.job(job_ids[n])["request"] for n in (0, 1, 999)] == ["0", "1", "999"]
    assert api.lanes.job(job_ids[0])["type"] == "sleep"


@pytest.mark.parametrize(
    ("body", "slug", "pointer"),
    [
        (b'{"requests":[]}', "bad-request", "#/body/requests"),
        (b'{"requests":[' + b'{"request":1},' * 1000 + b'{"request":1}]}', "bad-request", "#/body/requests"),
        (b'{"requests":{"request":1}}', "bad-request", "#/body"),
        (b'[{"request":1}]', "bad-request", "#/body"),
        (b'{"requests":[{"request":1}],"x":1}', "bad-request", "#/body"),
        (b'{"requests":[{"request":1},1]}', "bad-request", "#/body/requests/1"),
        (b'{"requests":[{"request":1},{"request":1,"type":"x"}]}', "unknown-type", "#/body/requests/1/type"),
        (b'{"requests":[{"request":1},{"request":1,"y":2}]}', "bad-request", "#/body/requests/1"),
    ],
)
def test_a_batch_with_a_mistake_is_refused_as_a_whole(api: Api, body: bytes, slug: str, pointer: str) -> None:
    user = api.user()
    document = problem(send(api, body, user, BATCH), 400, slug)
    assert document["errors"][0]["pointer"] == pointer
    assert api.lanes.lane(user) == []


def test_a_batch_that_does_not_fit_into_the_lane_is_refused_as_a_whole(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=3)
    user = api.user()
    problem(
        send(api, b'{"requests":[%b{"request":1}]}' % (b'{"request":1},' * 3), user, BATCH), 429, "lane-full"
    )
    assert api.lanes.lane(user) == []


def test_a_batch_has_an_idempotency_key_too(api: Api) -> None:
    user = api.user()
    body = b'{"requests":[{"request":1},{"request":2}]}'
    first = send(api, body, user, BATCH, idempotency_key="k")
    assert first.json() == send(api, body, user, BATCH, idempotency_key="k").json()
    assert len(api.lanes.lane(user)) == 2


def test_a_batch_may_not_be_larger_than_sixteen_of_the_largest_requests(api: Api) -> None:
    problem(send(api, b" " * (17 * api.settings.request_max_bytes), path=BATCH), 413, "body-too-large")


def test_each_request_of_a_batch_has_the_limit_of_a_request(api: Api) -> None:
    body = json.dumps({"requests": [{"request": "x" * api.settings.request_max_bytes}]}).encode()
    problem(send(api, body, path=BATCH), 413, "body-too-large")


def test_accepted_jobs_are_logged(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    user = api.user()
    job_id = api.enqueue(user, 1)
    out: list[str] = []

    def logged() -> list[dict[str, Any]]:
        out.append(capfd.readouterr().out)
        lines = [json.loads(line) for line in "".join(out).splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("job_id") == job_id]

    (line,) = wait_for(logged)
    assert (line["event"], line["user"], line["type"], line["service"]) == ("accepted", user, "echo", "api")


def test_a_lane_that_holds_too_many_bytes_answers_429(start_api: Callable[..., Api]) -> None:
    """One user must not fill Redis for all: small requests of others go on."""
    api = start_api(lane_bytes=1_000_000)
    user = api.user()
    large = json.dumps({"request": "x" * 200_000}).encode()
    statuses = [send(api, large, user).status_code for _ in range(8)]
    assert statuses == [200] * 4 + [429] * 4
    document = problem(send(api, large, user), 429, "lane-full")
    assert "1,000,000 bytes" in document["detail"]
    assert send(api, b'{"request":1}', api.user()).status_code == 200
