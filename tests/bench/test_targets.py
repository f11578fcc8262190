"""Every target has a figure: a whole benchmark measures what the targets ask for, under the names that they use."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench.peers import report, results
from bench.peers.__main__ import CASES, case
from bench.peers.bench import Bench, Figures
from bench.peers.catalogue import OURS, Peer
from bench.peers.comparison import rows
from bench.peers.install import Installer
from bench.peers.measures import MEASURES
from bench.peers.plan import QUICK, WHOLE, Plan
from bench.peers.targets import TARGETS

COMPARED = {measure.figure for measures in MEASURES.values() for measure in measures}
FIGURES = Figures(
    dict.fromkeys([*COMPARED, "archived_per_second", "warm_up_per_second", "out_of_order", "repeated"], 2.0),
    (1.0, 2.0),
)


class DryRun(Bench):
    """A benchmark that starts nothing: every run gives the same figures."""

    def attempt(
        self,
        case: str,
        peer: Peer,
        measure: Callable[[], Figures],
        *,
        synced: bool | None = None,
        **parameters: int | str,
    ) -> Figures | None:
        """Keep the figures under the key of the run."""
        return super().attempt(case, peer, lambda: FIGURES, synced=synced, **parameters)


def measured(plan: Plan, folder: Path) -> results.Results:
    found = results.new(quick=plan is QUICK, rounds=1, cases=CASES, mongo="none")
    bench = DryRun(plan, found, Installer(folder), Console(file=io.StringIO()))
    for name in CASES:
        case(name).measure(bench)
    return found


def test_a_whole_benchmark_has_a_figure_for_every_target(tmp_path: Path) -> None:
    found = measured(WHOLE, tmp_path)
    assert [target.text for target in TARGETS if target.figure(found) is None] == []


def test_a_quick_benchmark_has_a_figure_for_most_targets(tmp_path: Path) -> None:
    found = measured(QUICK, tmp_path)
    lacking = [target.text for target in TARGETS if target.figure(found) is None]
    assert len(lacking) < len(TARGETS) / 3, lacking


@pytest.mark.parametrize("plan", [WHOLE, QUICK], ids=["whole", "quick"])
def test_every_case_has_rows_and_the_rivals_have_columns(plan: Plan, tmp_path: Path) -> None:
    found = measured(plan, tmp_path)
    assert {row.measure for row in rows(found)} == {one for ones in MEASURES.values() for one in ones}
    both = [row for row in rows(found) if row.measure.figure == "jobs_per_second" and row.synced is not None]
    assert {row.synced for row in both} == {True, False}
    [one_user] = [row for row in both if row.title == "jobs/s, 1 user" and row.synced]
    assert [report.cell(one_user, peer.name) for peer in report.COLUMNS] == ["2"] * len(report.COLUMNS)


def test_one_start_out_of_order_in_one_of_three_runs_misses_the_target() -> None:
    found = results.new(quick=False, rounds=3, cases=CASES, mongo="none")
    for disorder in (0.0, 1.0, 0.0):
        figures = {"out_of_order": disorder, "repeated": 0.0}
        found.measurements.append(results.Measurement(case="throughput", peer=OURS, figures=figures))
    reached = {
        target.text: target.reached(value)
        for target in TARGETS
        if (value := target.figure(found)) is not None
    }
    assert reached == {
        "starts out of order, over all runs": False,
        "jobs that started more than once, over all runs": True,
    }
