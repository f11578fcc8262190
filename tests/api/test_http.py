"""Methods, paths, headers and the documentation, as HTTP and browsers expect them."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import ValidationError

from laneway.api.app import create_app, routed
from laneway.api.system import Lifecycle
from laneway.settings import Settings
from tests.api.running import Api, problem


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
def test_head_is_answered_like_get(api: Api, path: str) -> None:
    head, get = api.http.head(path), api.http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_path_with_a_slash_at_its_end_is_not_found(api: Api) -> None:
    """A redirect would lead to whatever the Host header says."""
    for path in ("/api/jobs/", "/healthz/", "/api/enqueue/"):
        reply = api.http.get(path, headers=api.auth(api.user()) | {"host": "evil.example"})
        problem(reply, 404, "not-found")
        assert "location" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"/api/jobs/{'0' * 25}", "DELETE, GET"),
        ("DELETE", "/api/jobs", "GET"),
        ("GET", "/api/enqueue", "POST"),
        ("POST", "/api/admin/lanes/ann/limit", "PUT"),
    ],
)
def test_allow_names_every_method_of_the_path(api: Api, method: str, path: str, allowed: str) -> None:
    reply = api.http.request(method, path, headers=api.admin())
    problem(reply, 405, "method-not-allowed")
    assert reply.headers["allow"] == allowed


def test_every_route_is_built_before_the_first_request() -> None:
    """FastAPI builds those of `include_router` again in each app at its first request, which waits 80 ms for it."""
    app = routed(Settings(_env_file=None), {}, Lifecycle())
    built = {route.path for route in app.routes if isinstance(route, APIRoute)}
    assert set(app.openapi()["paths"]) <= built


@pytest.mark.parametrize(
    "path", ["/api/enqueue", "/api/queue", "/api/enqueue/batch", "/api/events", "/api/connect"]
)
def test_several_authorization_headers_are_refused(api: Api, path: str) -> None:
    """Whichever one counted, something before us might have checked the other."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    tokens = [api.auth(api.user())["authorization"] for _ in range(2)]
    method = "POST" if "enqueue" in path else "GET"
    upgrade = (
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 0\r\n"
        f"{upgrade if path == '/api/connect' else ''}"
        f"authorization: {tokens[0]}\r\nauthorization: {tokens[1]}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")


def _secure(headers: Mapping[str, str]) -> None:
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_documentation_page_has_security_headers(api: Api) -> None:
    _secure(api.http.get("/docs").headers)


def test_the_rules_for_names_and_passwords_are_documented(api: Api) -> None:
    paths = api.http.get("/openapi.json").json()["paths"]
    body = paths["/api/register"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    name, password = body["properties"]["username"], body["properties"]["password"]
    assert re.fullmatch(name["pattern"], "Ann.b-1_c")
    assert not re.fullmatch(name["pattern"], "ab")
    assert (password["minLength"], password["maxLength"]) == (8, 1024)


@pytest.mark.parametrize("strips", [True, False])
def test_behind_a_path_prefix(start_api: Callable[..., Api], strips: bool) -> None:
    """Whether the proxy strips the prefix or not. The documentation and the page lead to addresses with it."""
    api = start_api(root_path="/team/laneway")
    prefix = "" if strips else "/team/laneway"
    headers = api.auth(api.user())
    for path in ("/healthz", "/docs", "/openapi.json", "/api/queue", "/"):
        assert api.http.get(prefix + path, headers=headers).status_code == 200, path
    for path, body in (
        ("/api/enqueue", {"request": 1}),
        ("/api/enqueue/batch", {"requests": [{"request": 1}]}),
    ):
        assert api.http.post(prefix + path, json=body, headers=headers).status_code == 200
    docs = api.http.get(prefix + "/docs").text
    assert "url: '/team/laneway/openapi.json'" in docs
    assert api.http.get(prefix + "/openapi.json").json()["servers"] == [{"url": "/team/laneway"}]
    for url in re.findall(r'(?:src|href)="([^"]+)"', docs):
        assert url.startswith("/team/laneway/docs/files/")
        assert api.http.get(url).status_code == 200
    page = api.metrics()
    assert 'route="/api/enqueue"' in page
    assert 'route="/api/queue"' in page
    assert "team" not in page


def servers(api: Api, path: str = "/openapi.json", **headers: str) -> Any:
    reply = api.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return reply.json().get("servers")


@pytest.mark.parametrize("strips", [True, False])
def test_a_trusted_proxy_names_the_path_prefix_of_a_request(
    start_api: Callable[..., Api], strips: bool
) -> None:
    api = start_api()
    prefix = "" if strips else "/team/laneway"
    headers = api.auth(api.user()) | {"x-forwarded-prefix": "/team/laneway/"}
    assert api.http.post(prefix + "/api/enqueue", json={"request": 1}, headers=headers).status_code == 200
    assert api.http.get(prefix + "/api/queue", headers=headers).status_code == 200
    assert "url: '/team/laneway/openapi.json'" in api.http.get(prefix + "/docs", headers=headers).text
    assert servers(api, prefix + "/openapi.json", x_forwarded_prefix="/team/laneway") == [
        {"url": "/team/laneway"}
    ]
    assert servers(api, x_forwarded_prefix="/other") == [{"url": "/other"}]
    assert servers(api) is None, "the prefix of one request is not that of another"
    page = api.metrics()
    assert 'route="/api/enqueue"' in page
    assert "team" not in page


@pytest.mark.parametrize(
    "value",
    [
        "team",
        "//evil.example.com",
        "/\\evil.example.com",
        "https://evil.example.com/",
        "/..",
        "/../",
        "/a/..",
        "/a/../b",
        "/.",
        "/a/./b",
        "/a//b",
        "/%2e%2e",
        "/a%2f..",
        "/a?b",
        "/a#b",
        "/a;b",
        "/a/../b'",
        '/"><script>',
        "/a, /b",
        "/a\tb",
        b"/a\x01b",
        b"/a\xc3\xa4",
        "/" + "a" * 2000,
        "/a" * 9,
    ],
)
def test_a_prefix_that_is_no_path_is_ignored_and_reported(
    start_api: Callable[..., Api], value: str | bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    api = start_api()
    headers = {b"x-forwarded-prefix": value if isinstance(value, bytes) else value.encode()}
    replies = [api.http.get("/docs", headers=headers) for _ in range(2)]
    is_http = value != b"/a\x01b"
    for reply in replies:
        assert reply.status_code == (200 if is_http else 400), reply.text
        assert ("url: '/openapi.json'" in reply.text) == is_http, "it leads to no address with a prefix"
    reported = capfd.readouterr().out.count("forwarded_prefix_ignored")
    assert reported == is_http, "once, not with each request"


def test_a_prefix_that_strips_nothing_is_as_none(
    start_api: Callable[..., Api], capfd: pytest.CaptureFixture[str]
) -> None:
    assert servers(start_api(), x_forwarded_prefix="/") is None
    assert "forwarded_prefix_ignored" not in capfd.readouterr().out


@pytest.mark.parametrize("value", ["/.", "/..", "/a/..", "/../a", "//a", "/a/"])
def test_a_path_prefix_that_leads_elsewhere_is_no_setting(value: str) -> None:
    with pytest.raises(ValidationError, match="root_path"):
        Settings(root_path=value)
    assert Settings(root_path="/.well/a..b").root_path == "/.well/a..b"


def test_a_prefix_of_anybody_else_is_ignored(start_api: Callable[..., Api]) -> None:
    """Also when a client names a trusted proxy as its own address."""
    api = start_api(trusted_proxies="192.0.2.0/24")
    assert servers(api, x_forwarded_prefix="/evil", x_forwarded_for="192.0.2.1") is None


def test_the_prefix_that_is_set_wins(start_api: Callable[..., Api]) -> None:
    api = start_api(root_path="/set")
    assert servers(api, x_forwarded_prefix="/sent") == [{"url": "/set"}]


def test_the_framework_warns_of_nothing_that_we_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_app(Settings(root_path="/team", _env_file=None))
