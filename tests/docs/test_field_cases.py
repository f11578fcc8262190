"""Every test that docs/field-cases.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "field-cases.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]
NAMED = re.compile(r"(?P<file>[\w/]+\.py)|::(?P<test>\w+)")


@pytest.mark.parametrize("case", range(1, 32))
def test_every_test_that_a_case_names_is_there(case: int) -> None:
    rows = [row for row in ROWS if row.startswith(f"| {case} |")]
    assert rows
    for row in rows:
        file = None
        for found in NAMED.finditer(row):
            if found["file"]:
                file = ROOT / ("" if found["file"].startswith("chaos/") else "tests") / found["file"]
                assert file.exists(), row
            else:
                assert file is not None, row
                assert re.search(rf"def {found['test']}\b", file.read_text()), (found["test"], row)


def test_a_case_without_a_test_says_so() -> None:
    for row in ROWS:
        assert "::" in row or ".py" in row or "no test" in row, row
