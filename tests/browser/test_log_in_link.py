"""The log-in link that `laneway dev` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Arrive
from tests.browser.system import ADMIN, System, wait_for


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[System]:
    """A system of its own: its link has just been printed."""
    system = System(tmp_path)
    system.start()
    yield system
    system.stop()


def test_the_link_logs_in_once_and_leaves_no_code_in_the_address(fresh: System, arrive: Arrive) -> None:
    terminal = (fresh.folder / "terminal").read_text()
    (link,) = re.findall(rf"Log in as {ADMIN}, once and within 10 minutes: (\S+)", terminal)
    path = link.removeprefix(fresh.url)
    assert re.fullmatch(r"/#code=[\w-]{22}", path)
    code = path.partition("=")[2]
    wait_for(
        lambda: '"admin_registered"' in logged(fresh)
    )  # until then it is answered 503, and the page tries again

    first = arrive(base=fresh.url)
    asked: list[str] = []
    first.context.on("request", lambda request: asked.append(request.url))
    page = first.open(path)
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    expect(page.get_by_role("link", name="Ring")).to_be_visible()
    assert not [url for url in [*asked, page.url] if code in url.partition("#")[0]]
    assert code not in page.url
    page.go_back()
    assert code not in page.url, "nor in the history of the browser"

    second = arrive(base=fresh.url, viewport=PHONE)
    page = second.open(path)
    expect(page.get_by_role("alert").first).to_contain_text("was used before or is too old")
    expect(page.get_by_label("User name")).to_be_visible()
    second.watch.forgive("403")

    assert '"log_in_succeeded"' in logged(fresh)
    assert code not in logged(fresh)


def logged(system: System) -> str:
    """What the system has logged so far."""
    return "".join(file.read_text() for file in (system.folder / "logs").iterdir())
