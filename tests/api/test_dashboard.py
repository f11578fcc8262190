"""How the dashboard's files are served; tests/browser looks at what a browser makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from laneway.api import dashboard, errors
from tests.api.running import Api

POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
}
SCRIPT = "console.log('a script long enough to be worth compressing');" * 50
PAGES = ("/", "/ui/", "/ui/history", "/ui/jobs/0123456789abcdef", "/ui/jobs/")


def _client(files: Path) -> TestClient:
    app = FastAPI()
    dashboard.install(app, files)
    errors.install(app)
    return TestClient(app)


@pytest.fixture
def built(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/index-AbC.js").write_text(SCRIPT)
    (tmp_path / "index.html").write_text('<script type="module" src="./assets/index-AbC.js"></script>')
    with _client(tmp_path) as client:
        yield client


def _assert_secure(headers: Mapping[str, str]) -> None:
    assert set(headers["content-security-policy"].split("; ")) == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PAGES)
def test_every_view_gets_the_page_which_is_never_cached(built: TestClient, method: str, path: str) -> None:
    reply = built.request(method, path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    _assert_secure(reply.headers)
    assert bool(reply.text) == (method == "GET")


@pytest.mark.parametrize("prefix", ["", "/team/queue"])
@pytest.mark.parametrize("path", PAGES)
def test_the_page_finds_its_files_below_any_prefix(built: TestClient, path: str, prefix: str) -> None:
    """A proxy in front adds the prefix to what the browser asks for, and nobody tells the API."""
    (source,) = re.findall(r'src="([^"]+)"', built.get(path).text)
    address = urlsplit(urljoin(f"http://proxy{prefix}{path}", source)).path
    assert address == f"{prefix}/ui/assets/index-AbC.js"


def test_files_are_compressed_and_may_be_kept_for_ever(built: TestClient) -> None:
    reply = built.get("/ui/assets/index-AbC.js")
    assert reply.text == SCRIPT
    assert reply.headers["content-encoding"] == "gzip"
    assert int(reply.headers["content-length"]) < len(SCRIPT) / 10
    assert reply.headers["content-type"].startswith("text/javascript")
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    _assert_secure(reply.headers)
    assert built.head("/ui/assets/index-AbC.js").status_code == 200


@pytest.mark.parametrize(
    "path", ["/ui/assets/", "/ui/assets/none.js", "/ui/assets/../index.html", "/ui/assets/%2e%2e/index.html"]
)
def test_what_is_no_file_is_not_found(built: TestClient, path: str) -> None:
    reply = built.get(path)
    if urlsplit(str(reply.url)).path.startswith("/ui/assets"):  # else the client has resolved the dots
        assert reply.status_code == 404
        assert reply.headers["content-type"] == "application/problem+json"


def test_without_a_build_the_page_says_so_and_a_build_needs_no_restart(tmp_path: Path) -> None:
    with _client(tmp_path) as client:
        for path, docs in (("/", "docs"), ("/ui/jobs/x", "../../docs")):
            reply = client.get(path)
            assert reply.status_code == 200
            assert "has not been built" in reply.text
            assert "make web" in reply.text
            assert f'href="{docs}"' in reply.text
            _assert_secure(reply.headers)
        assert client.get("/ui/assets/index-AbC.js").status_code == 404
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets/index-AbC.js").write_text(SCRIPT)
        (tmp_path / "index.html").write_text("built")
        assert client.get("/").text == "built"
        assert client.get("/ui/assets/index-AbC.js").text == SCRIPT


def test_the_api_serves_the_dashboard_and_keeps_its_own_paths(api: Api) -> None:
    home = api.http.get("/")
    assert home.status_code == 200
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    _assert_secure(home.headers)
    assert api.http.get("/ui").status_code in {307, 404}
    for path in ("/jobs", "/api/nothing", "/uix"):
        assert api.http.get(path).status_code == 404
    assert api.http.post("/").status_code == 405
    assert not [path for path in api.http.get("/openapi.json").json()["paths"] if "ui" in path.split("/")]
