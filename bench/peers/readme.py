"""Writes the table of README.md from a results file: `make bench-table RESULTS=FILE`.

The mark above the table names the file, so that a test can write the table again and compare.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from bench.peers.catalogue import LANEWAY, RIVALS
from bench.peers.comparison import rows
from bench.peers.report import COLUMNS, cell, conditions, others, ratio, synced
from bench.peers.results import FOLDER, FormatError, Results, load

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
END = "<!-- /bench -->"
_BEGIN = re.compile(r"<!-- bench: written by make bench-table(?: from (?P<file>\S+))? -->\n")
NOT_YET = "No results are kept yet: `make bench` measures yours.\n"


class ReadmeError(ValueError):
    """README has no place for the table, or the results are not for README."""


def source(text: str) -> str | None:
    """Return the results file that the table of a README was written from; None where there is no table yet."""
    return _begin(text)["file"]


def with_table(text: str, results: Results | None, file: str) -> str:
    """Return a README with the table of these results between its two marks. Raises ReadmeError."""
    begin = _begin(text)
    end = text.find(END, begin.end())
    if end < 0:
        raise ReadmeError(f"README.md has no {END}")
    mark = f"<!-- bench: written by make bench-table from {file} -->\n"
    written = (
        mark + table(results) + _pictures(file)
        if results
        else "<!-- bench: written by make bench-table -->\n" + NOT_YET
    )
    return text[: begin.start()] + written + text[end:]


def table(results: Results) -> str:
    """Return all figures with ratios as a Markdown table, and how they came about."""
    headings = ["", "synced", *(peer.title for peer in (LANEWAY, *RIVALS)), "others", "Laneway / best peer"]
    lines = [_line(headings), "|---|---|" + "---:|" * (len(headings) - 2)]
    lines += [
        _line(
            [
                row.title,
                synced(row),
                *(cell(row, peer.name) for peer in COLUMNS),
                others(row).replace("\n", "<br>"),
                ratio(row),
            ]
        )
        for row in rows(results)
    ]
    return "\n".join([*lines, "", *(line + "  " for line in conditions(results))]) + "\n"


def main() -> int:
    """Write or check README's table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("results", type=Path, help="a file that `make bench` wrote")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and end with 1 if the table is another"
    )
    parser.add_argument(
        "--incomplete", action="store_true", help="also if runs were left out because the time was up"
    )
    options = parser.parse_args()
    text = README.read_text()
    try:
        file = options.results.resolve().relative_to(ROOT).as_posix()
        written = with_table(text, _whole(options.results, incomplete=options.incomplete), file)
    except (FormatError, ReadmeError, OSError, ValueError) as error:
        parser.error(str(error))
    if options.check:
        return int(written != text)
    README.write_text(written)
    return 0


def _whole(path: Path, *, incomplete: bool) -> Results:
    """Read the results of a whole benchmark. Raises ReadmeError for those of a part, and for `incomplete` ones unless asked for."""
    results = load(path)
    if results.quick or path.resolve().parent != FOLDER:
        raise ReadmeError(
            f"{path} is of a quick or partial benchmark: README shows a whole one, from {FOLDER}"
        )
    if not results.measurements:
        raise ReadmeError(f"{path} has no measurements: run `make bench`")
    if results.out_of_time and not incomplete:
        raise ReadmeError(
            f"{path} is incomplete: the time was up before all runs of {', '.join(results.out_of_time)}. "
            "Run `make bench` without MINUTES, or pass --incomplete (`make bench-table INCOMPLETE=1`): then README says so"
        )
    return results


def _pictures(file: str) -> str:
    """Return a picture for each plot that lies beside a results file."""
    results = ROOT / file
    plots = sorted(results.parent.glob(f"{results.stem}-*.png"))
    return "".join(
        f"\n![{plot.stem.removeprefix(f'{results.stem}-')}]({plot.relative_to(ROOT).as_posix()})\n"
        for plot in plots
    )


def _begin(text: str) -> re.Match[str]:
    begin = _BEGIN.search(text)
    if begin is None:
        raise ReadmeError("README.md has no line <!-- bench: written by make bench-table -->")
    return begin


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
