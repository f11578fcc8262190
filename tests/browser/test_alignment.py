"""The check of aligned numbers notices each way in which they are not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.alignment import aligned

PAGE = """
<style>
  li {{ display: grid; grid-template-columns: {columns}; width: 300px; font-variant-numeric: {digits}; }}
  strong {{ text-align: {side}; }}
</style>
<main><ul aria-label="Errors"><li><strong>3</strong><span>late</span></li><li><strong>12,345</strong><span>late</span></li></ul></main>
"""
GOOD = {"columns": "80px 1fr", "digits": "tabular-nums", "side": "right"}


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({}, None),
        ({"side": "left"}, "left, tabular-nums"),
        ({"digits": "normal"}, "right, normal"),
        ({"columns": "max-content 1fr"}, "12,345: its right edge is not that of the rows above"),
    ],
)
def test_numbers_that_cannot_be_compared_are_found(
    browser: Browser, fault: dict[str, str], complaint: str | None
) -> None:
    page = browser.new_page()
    page.set_content(PAGE.format(**GOOD | fault))
    if complaint is None:
        assert aligned(page) == 2
    else:
        with pytest.raises(AssertionError, match=complaint):
            aligned(page)
    page.close()
