"""Health, metrics, documentation, and errors outside any endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import takewhile

import pytest

from laneway.api import metrics, metrics_page
from laneway.delivery_lanes import DeliveryLane
from laneway.lanes import survey
from tests.api.running import Api, problem, wait_for


def series(page: str, name: str) -> dict[str, float]:
    """Return the values of a metric by their labels."""
    found = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_liveness_and_readiness(api: Api) -> None:
    assert api.http.get("/healthz").json() == {"status": "ok"}
    assert api.http.get("/readyz").json() == {
        "status": "ready",
        "redis": "up",
        "mongodb": "up",
        "warnings": {},
    }


def test_the_names_and_values_of_the_metrics(start_api: Callable[..., Api]) -> None:
    api = start_api()
    user = api.user()
    before = series(api.metrics(), "laneway_jobs_total").get('{state="queued"}', 0)
    for _ in range(3):
        api.enqueue(user)
    api.lanes.enqueue(api.user())
    api.start(user)
    ended = api.end(api.user())
    assert ended
    api.lanes.enqueue(DeliveryLane(user, "0123456789ab").name, 2)
    with api.connect(api.auth(user)):
        fresh = start_api()  # the first one serves sizes that it read a moment ago
        page = fresh.metrics()
    assert series(page, "laneway_jobs_total")['{state="queued"}'] == before + 3
    expected = {
        "laneway_redis_up": 1,
        "laneway_lanes": 3,
        "laneway_lanes_inspected": 3,
        "laneway_ring_lanes": 2,
        "laneway_jobs_queued": 3,
        "laneway_webhook_deliveries_waiting": 2,
        "laneway_jobs_running": 3,
        "laneway_jobs_retrying": 0,
        "laneway_jobs_delayed": 0,
        "laneway_history_backlog": 1,
    }
    for name, value in expected.items():
        assert series(page, name) == {"": value}, name
    assert series(page, "laneway_turns_waiting").keys() == {""}
    assert series(page, "laneway_connections")[""] >= 1
    requests = series(page, "laneway_api_request_seconds_count")
    assert requests['{method="POST",route="/api/enqueue",status="200"}'] >= 3
    assert "# TYPE laneway_api_request_seconds histogram" in page


def test_metrics_show_how_much_of_the_limits_of_types_is_used(
    start_api: Callable[..., Api],
) -> None:
    api = start_api()
    assert "laneway_type_" not in api.metrics()
    for _ in range(3):
        api.lanes.enqueue(api.user(), type_="gpu")
    for _ in range(2):
        api.lanes.enqueue(api.user(), type_="mail")
    leases = api.lanes.claim()
    api.lanes.ask(*[lease for lease in leases if lease.type == "gpu"], running=2)
    api.lanes.ask(*[lease for lease in leases if lease.type == "mail"], starts=1, period_seconds=3600)
    page = start_api().metrics()
    assert series(page, "laneway_type_running") == {'{type="gpu"}': 2}
    assert series(page, "laneway_type_max_running") == {'{type="gpu"}': 2}
    assert series(page, "laneway_type_waiting") == {'{type="gpu"}': 1, '{type="mail"}': 1}


def test_the_number_of_series_does_not_grow_with_what_clients_send(api: Api) -> None:
    for path in ("/a", "/b", "/api/jobs/x", "/api/jobs/y", "/api/admin/lanes/zzz/pause"):
        api.http.get(path, headers=api.auth(api.user()))
    api.http.request("BREW", "/healthz")
    page = api.metrics()
    for text in ("/a", "/x", "zzz", "BREW"):
        assert f'{text}"' not in page
    assert any('route="unmatched"' in labels for labels in series(page, "laneway_api_request_seconds_count"))
    assert any(
        'route="/api/jobs/{job_id}"' in labels for labels in series(page, "laneway_api_request_seconds_count")
    )


def test_with_many_lanes_the_number_of_jobs_is_extrapolated(
    start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "PAGE_LANES", 4)
    monkeypatch.setattr(survey, "MAX_LANES", 8)
    api = start_api()
    for _ in range(20):
        api.lanes.enqueue(api.user(), 3)
    page = api.metrics()
    assert series(page, "laneway_lanes") == {"": 20}
    assert series(page, "laneway_lanes_inspected") == {"": 8}
    assert series(page, "laneway_jobs_queued") == {"": 60}


def test_the_lanes_are_read_once_for_many_scrapes(
    start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_page, "FRESH_SECONDS", -1)
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 60)
    api = start_api()
    with api.lanes.client.monitor() as monitor:  # other tests' programs use this server too
        for _ in range(6):
            api.metrics()
        api.lanes.client.echo("end")
        seen = list(takewhile(lambda seen: seen["command"] != "ECHO end", monitor.listen()))
    asked = [
        str(one["command"]) for one in seen if one["client_type"] != "lua"
    ]  # scripts read sizes for other ends
    sizes = [command for command in asked if command.startswith(f"ZCARD {{{api.settings.key_prefix}")]
    assert sizes
    assert len(sizes) == len(set(sizes))


def test_cancelled_jobs_are_counted(start_api: Callable[..., Api]) -> None:
    api = start_api()

    def cancelled() -> float:
        return series(api.metrics(), "laneway_jobs_total").get('{state="cancelled"}', 0)

    before, user = cancelled(), api.user()
    api.http.delete(f"/api/jobs/{api.enqueue(user, type='echo')}", headers=api.auth(user))
    for _ in range(2):
        api.enqueue(user, type="echo")
    api.http.post(f"/api/admin/lanes/{user}/purge", headers=api.admin())
    wait_for(lambda: cancelled() == before + 3)  # a page is made at most once a second


def test_the_documentation(api: Api) -> None:
    docs = api.http.get("/docs").text
    assert "url: '/openapi.json'" in docs
    used = re.findall(r'(?:src|href)="([^"]+)"', docs)
    assert len(used) == 3
    for url in used:  # all local: a cluster may have no way to the Internet
        assert url.startswith("/")
        file = api.http.get(url)
        assert file.status_code == 200
        assert len(file.content) > 1000
    schema = api.http.get("/openapi.json").json()
    assert schema["paths"].keys() >= {
        "/api/register",
        "/api/login",
        "/api/enqueue",
        "/api/enqueue/batch",
        "/api/jobs",
    }
    assert "Problem" in schema["components"]["schemas"]
    for reference in re.findall(r'"\$ref":\s*"#/([^"]+)"', json.dumps(schema)):
        target = schema
        for name in reference.split("/"):
            target = target[name.replace("~1", "/")]  # fails where the reference leads nowhere
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (method, path)
            assert operation.get("description") or operation.get("summary")
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response["content"].keys() == {"application/problem+json"}, (method, path, status)


def test_an_unknown_path_and_a_wrong_method(api: Api) -> None:
    problem(api.http.get("/api/nope"), 404, "not-found")
    problem(api.http.get("/%00"), 404, "not-found")
    reply = api.http.put("/api/enqueue", json={})
    problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == "POST"


def test_an_unexpected_error_is_a_bare_500_and_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On the routers' path and on the hot path."""
    monkeypatch.setattr("laneway.api.intake.Intake.one", lambda *_: 1 / 0)
    monkeypatch.setattr("laneway.api.lookup.find", lambda *_: 1 / 0)
    user = api.user()
    replies = [
        api.http.post("/api/enqueue", json={"request": 1}, headers=api.auth(user)),
        api.http.get(f"/api/jobs/{'0' * 25}", headers=api.auth(user)),
    ]
    for reply in replies:
        problem(reply, 500, "internal")
        assert "division" not in reply.text
    out: list[str] = []

    def logged() -> bool:
        out.append(capfd.readouterr().out)
        return "".join(out).count("ZeroDivisionError: division by zero") >= 2

    wait_for(logged)
    assert api.http.get("/healthz").status_code == 200


def test_the_public_port_has_no_metrics(api: Api) -> None:
    assert api.http.get("/metrics").status_code == 404
