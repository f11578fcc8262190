"""The tables that a benchmark prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.peers.catalogue import LANEWAY, PEERS, RIVALS
from bench.peers.comparison import Row, rows
from bench.peers.results import Results
from bench.peers.targets import TARGETS

COLUMNS = (LANEWAY, *RIVALS)


def show(results: Results, console: Console) -> None:
    """Print what was measured, under which conditions, and which targets are reached."""
    console.print(comparison_table(results))
    for line in conditions(results):
        console.print(line, highlight=False)
    console.print(targets_table(results))


def comparison_table(results: Results) -> Table:
    """Return a table of all figures with ratios."""
    table = Table(title="Laneway beside its peers")
    for heading in ("", "synced", *(peer.title for peer in COLUMNS), "others", "Laneway / best peer"):
        table.add_column(heading, justify="right" if heading not in {"", "synced"} else "left")
    for row in rows(results):
        table.add_row(
            row.title, synced(row), *(cell(row, peer.name) for peer in COLUMNS), others(row), ratio(row)
        )
    return table


def targets_table(results: Results) -> Table:
    """Return a table of the targets, each with its figure."""
    table = Table("target", "bound", "measured", "", title="Targets")
    for target in TARGETS:
        value = target.figure(results)
        bound = f"{'at least' if target.at_least else 'at most'} {number(target.bound)} {target.unit}"
        if value is None:
            table.add_row(target.text, bound, "", "not measured", style="dim")
        else:
            reached = target.reached(value)
            table.add_row(
                target.text,
                bound,
                f"{number(value)} {target.unit}",
                "reached" if reached else "missed",
                style=None if reached else "red",
            )
    return table


def conditions(results: Results) -> list[str]:
    """Return in sentences how the figures came about."""
    machine, versions = results.machine, results.versions
    lines = [
        f"Machine: {machine.processors} processors ({machine.model}), {machine.memory_gb:g} GB, {machine.system}.",
        f"Load average before: {machine.load_before:g}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"Synced: {results.synced}. Not synced: {results.unsynced}.",
        f"Archived: {results.archived}.",
        f"Rounds: {results.rounds}, of which each figure is the median.",
    ]
    if results.out_of_time:
        lines.append(f"Incomplete, because the time was up: {', '.join(results.out_of_time)}.")
    lines += [
        f"Left out: {PEERS[name].title}, because it could not be installed: {why}"
        for name, why in results.skipped.items()
    ]
    lines += [
        f"Failed: {key.case} of {key.peer}, {dict(key.parameters)}: {error}"
        for key, error in results.errors().items()
    ]
    return lines


def cell(row: Row, peer: str) -> str:
    """Return the value of a peer, `failed`, or a dash where it was not run."""
    if peer in row.values:
        return number(row.values[peer])
    return "failed" if peer in row.errors else "-"


def others(row: Row) -> str:
    """Return the values of all peers that have no column."""
    named = {peer.name for peer in COLUMNS}
    names = [name for name in [*row.values, *row.errors] if name not in named]
    return "\n".join(f"{PEERS[name].title if name in PEERS else name} {cell(row, name)}" for name in names)


def ratio(row: Row) -> str:
    """Return Laneway's value over the best peer's."""
    return "" if row.ratio is None else f"{row.ratio:.2f}"


def synced(row: Row) -> str:
    """Return whether Redis synced every write."""
    return {True: "yes", False: "no", None: ""}[row.synced]


def number(value: float) -> str:
    """Return a number with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
