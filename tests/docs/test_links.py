"""Documents point to files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("helm/**/*.md"),
        *ROOT.glob("k8s/**/*.md"),
    ]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    for link in links:
        if "://" not in link and not link.startswith("mailto:"):
            assert (ROOT / document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_to_headings_lead_to_one(document: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text(), flags=re.DOTALL)
    for path, heading in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", text):
        target = ROOT / document.parent / path if path else ROOT / document
        assert heading in _headings(target), f"{path}#{heading}"


def _headings(document: Path) -> set[str]:
    """Return the headings of a document as links name them."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
