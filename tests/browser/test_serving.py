"""The build, as a browser gets it from the API."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.system import System, below

MAX_SCRIPT_BYTES = 100_000
"""Compressed, at the first load."""


def test_the_page_works_at_the_root_and_below_a_prefix(system: System, arrive: Arrive) -> None:
    with below(system.url, "/team/queue") as proxy:
        for base in (system.url, proxy.url):
            for path in ("/", "/ui/history", "/ui/jobs/0123456789abcdef"):
                page = arrive(base=base).open(path)
                expect(page.get_by_role("heading", name="Log in")).to_be_visible()
                page.wait_for_load_state("networkidle")  # the proxy ends before the pages do


def test_the_first_load_is_small(system: System, arrive: Arrive) -> None:
    """Log-in and queue; what only some users need is loaded when they open it."""
    page = arrive().log_in()
    sizes: dict[str, int] = page.evaluate(
        "Object.fromEntries(performance.getEntriesByType('resource').filter(e => e.name.endsWith('.js'))"
        ".map(e => [e.name, e.encodedBodySize]))"
    )
    assert all(sizes.values()), sizes
    assert len(sizes) > 1
    assert sum(sizes.values()) < MAX_SCRIPT_BYTES, sizes
    print(f"first load: {sum(sizes.values()):,} bytes of compressed JavaScript")


def test_a_page_that_is_opened_again_asks_only_for_itself(system: System, arrive: Arrive) -> None:
    visitor = arrive()
    page = visitor.log_in()
    loaded: list[str] = []
    visitor.context.on(
        "response", lambda reply: loaded.append(reply.url) if "/ui/assets/" in reply.url else None
    )
    page.goto(visitor.base + "/ui/queue")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/ui/assets/') && e.transferSize > 0).length"
    )
    assert fetched == 0, loaded
