"""The decision pages: numbered without gaps, titled unlike, listed in the index, and found by all who refer to them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ["## Context", "## Decision", "## Why", "## What it costs"]


def _title(page: Path) -> tuple[int, str]:
    """The number and the title in a page's first line."""
    match = re.fullmatch(r"# (\d+)\. (.+)", page.read_text().splitlines()[0])
    assert match is not None, f"{page.name} must begin with `# <number>. <title>`"
    return int(match[1]), match[2]


def test_numbers_have_no_gaps_and_match_the_file_names() -> None:
    numbers = [_title(page)[0] for page in PAGES]
    assert numbers == list(range(1, len(PAGES) + 1))
    assert [int(page.name[:4]) for page in PAGES] == numbers


def test_no_two_titles_are_alike() -> None:
    titles = [_title(page)[1].casefold() for page in PAGES]
    assert len(set(titles)) == len(titles)


def test_the_index_lists_every_page_by_its_title() -> None:
    index = (FOLDER / "README.md").read_text().splitlines()
    rows = [line for line in index if line.startswith("| [")]
    assert rows == [f"| [{_title(page)[0]}]({page.name}) | {_title(page)[1]} |" for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_four_parts_in_order(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if line.startswith("## ")] == PARTS


def test_references_lead_to_pages_that_exist() -> None:
    """From code, tests, chart and documents: by path, and from page to page by number."""
    command = ["git", "grep", "-hoE", "decisions/[0-9]{4}[a-z0-9-]*(\\.md)?"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert found
    missing = [name for name in found if not (FOLDER / name.removeprefix("decisions/")).exists()]
    assert not missing
    for page in PAGES:
        assert all(int(number) <= len(PAGES) for number in re.findall(r"[Pp]ages? (\d+)", page.read_text()))
