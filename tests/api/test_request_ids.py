"""Every request has an id: in its answer, its problem document and its log lines."""

from __future__ import annotations

import json
import re

import pytest
from websockets.exceptions import InvalidStatus

from tests.api.running import Api

HEADER = "x-request-id"


@pytest.mark.parametrize(
    "sent", ["a", "0190f3c2-7a6b-7c3d-9e1f-3b2a1c0d9e8f", "Root=1-67891233-abcdef", "x" * 128]
)
def test_a_well_formed_id_is_accepted(api: Api, sent: str) -> None:
    reply = api.http.get("/healthz", headers={HEADER: sent})
    assert reply.headers[HEADER] == sent


@pytest.mark.parametrize("sent", [None, "", "two words", "<script>", "x" * 129, '"'])
def test_otherwise_it_is_made(api: Api, sent: str | None) -> None:
    made = [api.http.get("/healthz", headers={HEADER: sent} if sent is not None else {}) for _ in range(2)]
    ids = {reply.headers[HEADER] for reply in made}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", made_id) for made_id in ids)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/enqueue"),
        ("GET", "/api/queue"),
        ("GET", "/no/such/path"),
        ("PATCH", "/api/queue"),
        ("GET", "/api/events"),
    ],
)
def test_it_is_in_problem_documents(api: Api, method: str, path: str) -> None:
    reply = api.http.request(method, path, headers={HEADER: "mine"})
    assert reply.is_client_error
    assert reply.headers[HEADER] == reply.json()["request_id"] == "mine"


def test_it_is_in_the_answers_to_websockets(api: Api) -> None:
    with api.connect(api.auth(api.user()) | {HEADER: "mine"}) as socket:
        assert socket.response is not None
        assert socket.response.headers[HEADER] == "mine"
    with pytest.raises(InvalidStatus) as refused, api.connect({HEADER: "mine"}):
        pass
    assert refused.value.response.headers[HEADER] == "mine"
    assert json.loads(refused.value.response.body or b"")["request_id"] == "mine"


def test_it_is_in_the_log(
    api: Api, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = api.user()
    headers = api.auth(user) | {HEADER: "mine"}
    assert api.http.post("/api/enqueue", json={"request": 1}, headers=headers).is_success

    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("laneway.presence.Presence.inspect", fail)
    assert api.http.get("/api/queue", headers=headers).status_code == 500
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    logged = {line["event"]: line.get("request_id") for line in lines}
    assert logged["accepted"] == logged["request_failed"] == "mine"
