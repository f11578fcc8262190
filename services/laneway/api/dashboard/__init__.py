"""The dashboard: the page at `/` and below `/ui/`, and the files it is made of.

`make web` builds the files from `web/`. Without them the API works, and the page says what to do.

The page calls no other host and runs no code but its own (`HEADERS`). It works behind any path prefix without knowing it,
because all its addresses are relative: in the HTML to the page, in the script to the script.
"""

from __future__ import annotations

from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FILES = Path(__file__).parent / "files"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Sent with the page and with its files."""
NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Laneway</title>
<h1>Laneway</h1>
<p>The API is running. The dashboard has not been built: run <code>make web</code>, which needs the npm registry once,
and load this page again.</p>
<p><a href="{root}docs">API documentation</a></p>
</html>
"""


def install(app: FastAPI, files: Path = FILES) -> None:
    """Serve the page at `/` and at every path below `/ui/`. The page itself knows which views exist."""
    app.mount("/ui/assets", GZipMiddleware(_Files(directory=files / "assets", check_dir=False)))

    async def page(path: str | None = None) -> Response:
        root = "" if path is None else "../" * (1 + path.count("/"))
        return HTMLResponse(_html(files, root), headers=HEADERS | {"cache-control": "no-cache"})

    for route in ("/", "/ui/{path:path}"):
        app.add_api_route(route, page, methods=["GET", "HEAD"], include_in_schema=False)


def _html(files: Path, root: str) -> str:
    """The page for an address from which `root` leads to where the API stands."""
    try:
        built = (files / "index.html").read_text("utf-8")
    except FileNotFoundError:
        return NOT_BUILT.format(root=root)
    return built.replace('="./', f'="{root}ui/')


class _Files(StaticFiles):
    """Scripts and styles. Their names change with their content, so browsers may keep them for ever."""

    async def check_config(self) -> None:
        """Accept that there is no folder yet: it may be built while the API runs."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS | {"cache-control": "public, max-age=31536000, immutable"})
        return response
