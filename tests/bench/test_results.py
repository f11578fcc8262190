"""Results files, and what is made of them: comparison, targets, README's table."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from bench.peers import readme, report
from bench.peers.comparison import rows
from bench.peers.results import FOLDER, FormatError, Machine, Measurement, Results, load, save
from bench.peers.targets import TARGETS, Target

BLOCK = "# Name\n<!-- bench: written by make bench-table -->\nold\n<!-- /bench -->\nrest\n"


def throughput(
    peer: str, rate: float, *, users: int = 1, synced: bool = True, error: str = ""
) -> Measurement:
    figures = {} if error else {"jobs_per_second": rate, "cpu_us_per_job": 1e6 / rate}
    return Measurement(
        case="throughput", peer=peer, synced=synced, parameters={"users": users}, figures=figures, error=error
    )


def results(*measurements: Measurement) -> Results:
    return Results(
        taken_at="2026-01-02T03:04:05+00:00",
        quick=False,
        rounds=3,
        cases=["throughput"],
        machine=Machine(2, "a processor", 8, "Linux 6", 0.1),
        versions={"laneway": "0.1"},
        archived="Laneway archives",
        measurements=list(measurements),
    )


def target(text: str) -> Target:
    [found] = [one for one in TARGETS if one.text == text]
    return found


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    written = results(throughput("laneway", 30_000), throughput("bull", 0, error="RunError: no"))
    written.skipped["arq"] = "no network"
    save(written, tmp_path / "new" / "one.json")
    assert load(tmp_path / "new" / "one.json") == written


@pytest.mark.parametrize(
    "content", [b"{}", b"[", msgspec.json.encode(results()).replace(b'"format":1', b'"format":2')]
)
def test_another_file_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"other\.json"):
        load(path)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    found = results(
        *(throughput("laneway", rate) for rate in (10, 50, 20)), throughput("laneway", 99, users=2)
    )
    assert found.figure("jobs_per_second", "throughput", synced=True, users=1) == 20
    assert found.figure("jobs_per_second", "throughput", synced=False, users=1) is None


def test_a_failure_counts_only_where_no_round_succeeded() -> None:
    found = results(
        throughput("bull", 0, error="it died"),
        throughput("bull", 5),
        throughput("bull", 0, users=9, error="it died"),
    )
    assert [(key.parameters, why) for key, why in found.errors().items()] == [((("users", 9),), "it died")]


def test_the_best_peer_is_the_one_that_is_hardest_to_beat() -> None:
    found = rows(results(throughput("laneway", 300), throughput("bullmq", 200), throughput("groupmq", 100)))
    rate, cost = found
    assert (rate.title, rate.best_peer, rate.ratio) == ("jobs/s, 1 user", "bullmq", 1.5)
    assert cost.best_peer == "bullmq"
    assert cost.ratio == pytest.approx(200 / 300)


def test_a_case_without_peers_has_no_ratio() -> None:
    [rate, _] = rows(results(throughput("laneway", 300)))
    assert (rate.best_peer, rate.ratio, report.ratio(rate)) == (None, None, "")


@pytest.mark.parametrize(("ours", "reached"), [(201, True), (199, False)])
def test_a_target_is_reached_or_missed(ours: float, reached: bool) -> None:
    one = target("jobs/s of 1 user over BullMQ, synced")
    value = one.figure(results(throughput("laneway", ours), throughput("bullmq", 100)))
    assert value == ours / 100
    assert one.reached(value) is reached


def test_a_bound_from_above_is_reached_from_below() -> None:
    one = replace(TARGETS[0], bound=1, at_least=False)
    assert (one.reached(1), one.reached(1.1)) == (True, False)


def test_a_dip_between_few_and_twenty_users_misses_its_target() -> None:
    one = target("jobs/s of 2 and 5 users over those of 1 and 20, synced")
    rates = {1: 100, 2: 80, 5: 120, 20: 110}
    dip = one.figure(results(*(throughput("laneway", rate, users=users) for users, rate in rates.items())))
    assert dip == 0.8
    assert not one.reached(dip)


def test_every_target_is_printed_also_what_was_not_measured() -> None:
    output = io.StringIO()
    found = results(
        throughput("laneway", 300), throughput("bullmq", 200), throughput("bull", 0, error="it died")
    )
    found.skipped["arq"] = "no network"
    report.show(found, Console(file=output, width=250))
    shown = output.getvalue()
    assert shown.count("not measured") == len(TARGETS) - 1
    assert "missed" in shown
    assert "arq, because it could not be installed: no network" in shown
    assert "it died" in shown


def test_the_table_replaces_the_old_one_and_names_its_file() -> None:
    found = results(
        throughput("laneway", 30_123), throughput("bullmq", 15_000), throughput("arq", 0, error="no")
    )
    text = readme.with_table(BLOCK, found, "bench/results/x.json")
    assert readme.source(BLOCK) is None
    assert readme.source(text) == "bench/results/x.json"
    assert "| jobs/s, 1 user | yes | 30,123 | 15,000 | - | - | arq failed | 2.01 |" in text
    assert "\nold\n" not in text
    assert text.endswith("<!-- /bench -->\nrest\n")
    assert readme.with_table(text, found, "bench/results/x.json") == text


@pytest.mark.parametrize("text", ["no mark", BLOCK.replace("<!-- /bench -->", "")])
def test_a_readme_without_a_place_for_the_table_is_refused(text: str) -> None:
    with pytest.raises(readme.ReadmeError):
        readme.with_table(text, results(), "x.json")


@pytest.mark.parametrize(
    ("part", "is_whole"),
    [
        ({}, True),
        ({"quick": True}, False),
        ({"cases": ["throughput"]}, False),
        ({"out_of_time": ["latency"]}, False),
    ],
)
def test_what_was_cut_short_is_no_whole_benchmark(part: dict[str, Any], is_whole: bool) -> None:
    measured = results()
    measured.cases = ["latency", "throughput"]
    for name, value in part.items():
        setattr(measured, name, value)
    assert measured.is_whole(["throughput", "latency"]) is is_whole


@pytest.mark.parametrize("part", ["quick", "partial", "empty", "incomplete", "incomplete, as asked", "whole"])
def test_the_table_is_written_from_a_whole_benchmark_only(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("out" if part == "partial" else "results") / "one.json"
    measured = results(*([] if part == "empty" else [throughput("laneway", 30_123)]))
    measured.quick = part == "quick"
    measured.out_of_time = ["latency"] if part.startswith("incomplete") else []
    save(measured, path)
    path.with_name("one-users.png").touch()
    page = tmp_path / "README.md"
    page.write_text(BLOCK)
    for name, place in (("ROOT", tmp_path), ("README", page), ("FOLDER", tmp_path / "results")):
        monkeypatch.setattr(readme, name, place)
    options = ["--incomplete"] if part == "incomplete, as asked" else []
    monkeypatch.setattr("sys.argv", ["readme", str(path), *options])
    refusals = {
        "quick": "quick or partial",
        "partial": "quick or partial",
        "empty": "has no measurements",
        "incomplete": "before all runs of latency. Run `make bench` without MINUTES",
    }
    if part not in refusals:
        assert readme.main() == 0
        assert "30,123" in page.read_text()
        assert "\n![users](results/one-users.png)\n" in page.read_text()
    else:
        with pytest.raises(SystemExit):
            readme.main()
        assert refusals[part] in " ".join(capsys.readouterr().err.split())
        assert page.read_text() == BLOCK


def test_the_readme_shows_a_kept_results_file() -> None:
    """README's table is what the newest kept results say; while none are kept, it says so."""
    kept = subprocess.run(
        ["git", "ls-files", "*.json"], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    ).stdout.split()
    newest = max((name for name in kept if name.startswith("results/")), default=None)
    text = readme.README.read_text()
    assert readme.source(text) == (f"bench/{newest}" if newest else None)
    found = load(FOLDER.parent / newest) if newest else None
    assert readme.with_table(text, found, f"bench/{newest}") == text
