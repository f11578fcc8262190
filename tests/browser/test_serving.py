"""The build, as a browser gets it from the API."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Arrive
from tests.browser.system import System, below


def test_the_page_works_at_the_root_and_below_a_prefix(system: System, arrive: Arrive) -> None:
    with below(system.url, "/team/queue") as proxy:
        for base in (system.url, proxy.url):
            for path in ("/", "/ui/history", "/ui/jobs/0123456789abcdef"):
                page = arrive(base=base).open(path)
                expect(page.get_by_role("heading", name="Log in")).to_be_visible()
