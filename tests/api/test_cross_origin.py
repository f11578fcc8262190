"""Pages of other origins may call the API only if the setting names them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from tests.api.running import Api, settings_of

APP, OTHER = "https://app.example.com", "https://other.example.com"
ALLOWED = "access-control-allow-origin"


def preflight(api: Api, origin: str) -> dict[str, str]:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key",
    }
    return dict(api.http.options("/api/enqueue", headers=headers).headers)


def test_by_default_no_origin_is_allowed(api: Api) -> None:
    assert ALLOWED not in preflight(api, APP)
    reply = api.http.get("/api/queue", headers=api.auth(api.user()) | {"origin": APP})
    assert (reply.status_code, ALLOWED in reply.headers) == (200, False)


def test_the_origins_of_the_setting_are_allowed_and_no_others(start_api: Callable[..., Api]) -> None:
    api = start_api(cors_origins=f"{APP}, http://localhost:5173")
    assert preflight(api, APP)[ALLOWED] == APP
    assert ALLOWED not in preflight(api, OTHER)
    headers = api.auth(api.user())
    reply = api.http.post("/api/enqueue", json={"request": 1}, headers=headers | {"origin": APP})
    assert (reply.status_code, reply.headers[ALLOWED]) == (200, APP)
    assert "x-request-id" in reply.headers["access-control-expose-headers"].lower()
    refused = api.http.get("/api/queue", headers={"origin": APP})
    assert (refused.status_code, refused.headers[ALLOWED]) == (401, APP)  # the page can read the problem
    assert ALLOWED not in api.http.get("/api/queue", headers=headers | {"origin": OTHER}).headers
    assert "access-control-allow-credentials" not in preflight(api, APP)


@pytest.mark.parametrize(
    "origins", ["app.example.com", "https://app.example.com/path", "ftp://x", "https://a b"]
)
def test_what_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        settings_of("redis://127.0.0.1", "mongodb://127.0.0.1", "p", "d", cors_origins=origins)
