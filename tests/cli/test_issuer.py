"""`laneway login --issuer`, with a program in the place of the browser."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import start_api
from tests.api.running import Api
from tests.cli.test_cli import Terminal
from tests.servers.issuer import CLIENT_ID, issuer

__all__ = ["start_api"]
BROWSER = """
import sys, httpx
from urllib.parse import parse_qs, urlsplit
address = urlsplit(sys.argv[1])
back = parse_qs(address.query)["redirect_uri"][0]
for strange in ("?code=made-up&state=guessed", "?code=made-up", "/../other?code=made-up"):
    assert httpx.get(back + strange).status_code == 404
form = {"query": address.query, "subject": "ann"}
reply = httpx.post(address._replace(query="").geturl(), data=form, follow_redirects=True)
assert "close this page" in reply.text
"""


def test_a_browser_logs_the_terminal_in(
    start_api: Callable[..., Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "browser.py"
    program.write_text(BROWSER)
    monkeypatch.setenv("BROWSER", f"{sys.executable} {program} %s &")
    with issuer() as idp:
        api = start_api(oidc_issuer=idp.url, oidc_client_id=CLIENT_ID)
        terminal = Terminal(tmp_path, api.url, monkeypatch)
        said = terminal.run("login", "--issuer").output
        assert "logged in as oidc.ann" in said
        assert "code=" not in said
        assert "oidc.ann (user)" in terminal.run("account", "show").stdout
        idp.is_away = True
        terminal.run("queue")


def test_without_an_issuer_it_says_so(
    start_api: Callable[..., Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(tmp_path, start_api().url, monkeypatch)
    assert "no issuer" in terminal.run("login", "--issuer", code=2).output
