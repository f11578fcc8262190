"""Checks that numbers in the columns of lists can be compared: at the right of their column, with digits of one width."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = (Path(__file__).parent / "numbers.js").read_text()


def aligned(page: Page) -> int:
    """Check every list on the page, and return how many cells with numbers it has."""
    found = page.evaluate(_SCRIPT)
    assert found["faults"] == [], f"{page.url}: {found['faults']}"
    return int(found["cells"])
