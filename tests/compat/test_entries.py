"""What stands in `laneway.compat` is complete: a table of entries, canaries, and an upper bound for each library."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import laneway.compat

ROOT = Path(__file__).parents[2]
FOLDER = Path(laneway.compat.__file__).parent
MODULES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
DISTRIBUTIONS = {"redis_py": "redis", "secantus": "secantusdb"}
COMES_WITH = {"billiard": "celery"}
"""A library that we do not ask for ourselves, and the one that bounds it."""


def _rows(module: Path) -> list[list[str]]:
    """The table in the module's docstring."""
    lines = (ast.get_docstring(ast.parse(module.read_text())) or "").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_every_entry_says_what_it_needs_and_why_and_which_issue_would_remove_it(module: Path) -> None:
    head, _, *rows = _rows(module)
    assert head == ["entry", "needs", "why", "upstream"]
    assert rows
    assert all(len(row) == 4 and all(row[1:]) for row in rows)
    assert all(re.search(r"\d|^no(ne)?\b", row[3]) for row in rows), "an issue, or that there is none"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_everything_that_others_use_is_an_entry(module: Path) -> None:
    entries = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in _rows(module))))
    public = [
        node.name
        for node in ast.parse(module.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert set(public) <= entries


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_there_are_canaries(module: Path) -> None:
    assert "def test_" in (Path(__file__).parent / f"test_{module.name}").read_text()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_library_is_bounded_from_above(module: Path) -> None:
    if module.stem in sys.stdlib_module_names:
        return  # bounded by the versions of Python that the tests run on
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = extras["server"] + extras["dev"]
    name = COMES_WITH.get(module.stem) or DISTRIBUTIONS.get(module.stem, module.stem)
    (bound,) = [one for one in asked if re.match(rf"{name}(\[\w+\])?[~<>=]", one)]
    assert "~=" in bound or "<" in bound.split(";")[0]
