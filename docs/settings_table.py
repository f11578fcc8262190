"""Writes the table of settings in README.md from the docstrings of `laneway.settings`: python docs/settings_table.py [--check].

`--check` writes nothing and ends with 1 if the table is not the one it would write.
"""

from __future__ import annotations

import ast
import inspect
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from laneway.processors import usable_processors
from laneway.settings import Settings, variable

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings", "<!-- /settings"


def table() -> str:
    """Return the table of all settings."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    meanings = docstrings()
    for name, field in Settings.model_fields.items():
        meaning = " ".join(meanings.get(name, "").split())
        rows.append(f"| `{variable(name)}` | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def docstrings() -> dict[str, str]:
    """Return the docstring under each field. pydantic can extract them too, but would do so at every start of every program."""
    (settings,) = (
        node for node in ast.parse(inspect.getsource(Settings)).body if isinstance(node, ast.ClassDef)
    )
    return {
        ast.unparse(field.target): ast.literal_eval(docstring.value)
        for field, docstring in pairwise(settings.body)
        if isinstance(field, ast.AnnAssign) and isinstance(docstring, ast.Expr)
    }


def with_table(text: str) -> str:
    """Return the README's text with the table between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    mark, newline, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    return before + begin + mark + newline + table() + end + after


def _default(field: Any) -> str:
    if field.default_factory is usable_processors:
        return "number of processors"
    if field.default in (None, "") or field.default_factory is not None:
        return "none"
    return f"`{field.default}`"


def main() -> int:
    """Write the table, or check it; the exit code."""
    text = README.read_text()
    if "--check" in sys.argv[1:]:
        return int(with_table(text) != text)
    README.write_text(with_table(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
