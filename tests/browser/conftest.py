"""Debian's Chromium, driven by Playwright, on the whole system. Every page that a test opens is watched: see `Watch`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from laneway.api.dashboard import FILES
from tests.browser.system import PASSWORD, System

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")
    if not (FILES / "index.html").exists():
        pytest.fail("the dashboard has not been built: run `make web`")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = System(tmp_path_factory.mktemp("system"))
    running.start()
    yield running
    running.stop()


class Watch:
    """What no page may do: log an error, throw, violate the policy, ask another host, or put a token into an address."""

    def __init__(self, context: BrowserContext, hosts: set[str]) -> None:
        self.faults: list[str] = []
        self._hosts = hosts
        context.on("console", lambda message: self._note(message.type in {"error", "warning"}, message.text))
        context.on("weberror", lambda error: self._note(True, str(error.error)))
        context.on("request", lambda request: self._request(request.url))

    def _note(self, is_fault: bool, text: str) -> None:
        if is_fault:
            self.faults.append(text)

    def _request(self, url: str) -> None:
        address = urlsplit(url)
        self._note(address.scheme in {"http", "https"} and address.netloc not in self._hosts, f"asked {url}")
        self._note("eyJ" in url, f"a token in {url}")

    def allow(self, host: str) -> None:
        """Let pages of this host be opened."""
        self._hosts.add(host)

    def forgive(self, part: str) -> None:
        """Drop the faults that the test has provoked; there must be some."""
        forgiven = [fault for fault in self.faults if part in fault]
        assert forgiven, self.faults
        self.faults = [fault for fault in self.faults if part not in fault]


class Visitor:
    """A person with a browser of their own."""

    def __init__(
        self, browser: Browser, system: System, base: str, viewport: ViewportSize, dark: bool
    ) -> None:
        self.system, self.base = system, base
        self.name = "u" + secrets.token_hex(4)
        self.context = browser.new_context(
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.watch = Watch(self.context, {urlsplit(base).netloc})
        self.page: Page = self.context.new_page()

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.base + path)
        return self.page

    def log_in(self, name: str = "") -> Page:
        """Through the page, as this user (registered first) or as one who exists."""
        if name:
            self.name = name
        else:
            self.system.register(self.name)
        page = self.open()
        page.get_by_label("User name").fill(self.name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="My queue")).to_be_visible()
        return page

    def close(self) -> None:
        self.context.close()


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive(browser: Browser, system: System) -> Iterator[Arrive]:
    """Open a browser for one more person; at the end none of their pages may have done what `Watch` forbids."""
    visitors: list[Visitor] = []

    def new(
        *, base: str = "", of: System = system, viewport: ViewportSize = DESKTOP, dark: bool = False
    ) -> Visitor:
        visitors.append(Visitor(browser, of, base or of.url, viewport, dark))
        return visitors[-1]

    yield new
    for visitor in visitors:
        visitor.close()
    assert [fault for visitor in visitors for fault in visitor.watch.faults] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, from the dashboard's own dependencies."""
    return (Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js").read_text()
