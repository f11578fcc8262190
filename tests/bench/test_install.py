"""The peers are pinned, come from no named registry, and are no part of the product."""

from __future__ import annotations

import io
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.peers import report, results
from bench.peers.bench import Bench, Figures
from bench.peers.catalogue import ARQ, BULLMQ, LANEWAY, PEERS
from bench.peers.install import (
    NODE_FOLDER,
    NODE_LOCK,
    REQUIREMENTS,
    Installer,
    NotInstalledError,
    cache_folder,
    versions,
)
from bench.peers.plan import QUICK, WHOLE
from bench.peers.run import ADAPTERS, RunError

ROOT = Path(__file__).parents[2]
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))


def test_the_node_lock_names_no_registry_and_has_a_hash_for_each_package() -> None:
    packages = json.loads(NODE_LOCK.read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert len(installed) > 50
    assert [name for name, package in installed.items() if "resolved" in package] == []
    assert [name for name, package in installed.items() if "integrity" not in package] == []


def test_direct_node_dependencies_are_exact_and_those_of_the_lock() -> None:
    wanted = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"]
    locked = json.loads(NODE_LOCK.read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_python_lock_names_no_registry_and_is_hashed(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"https?://|--index-url|--find-links", text)
    assert text.count("==") <= text.count("--hash=")
    [*pins] = [line for line in lock.with_suffix(".in").read_text().splitlines() if "==" in line]
    assert pins
    for pin in pins:
        package, _, version = pin.partition("==")
        assert f"{package.partition('[')[0]}" in text
        assert f"=={version} " in text.replace("\\", " ")


def test_each_peer_has_its_programs_and_its_lock() -> None:
    for peer in PEERS.values():
        assert peer.packages in {"", "node", *(lock.stem for lock in LOCKS)}
        for word in (word for command in (peer.producer, *peer.workers) for word in command):
            if "/" in word:
                assert (ADAPTERS / word).is_file()


def test_no_peer_is_a_dependency_of_the_product() -> None:
    """Celery is the exception: it is our engine, and it is measured by itself too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
    ]
    direct = {re.split(r"[^\w-]", line)[0].lower() for line in wanted}
    locked = {
        line.partition("==")[0].partition("[")[0]
        for lock in (ROOT / "requirements").glob("*.txt")
        for line in lock.read_text().splitlines()
        if "==" in line
    }
    dashboard = json.loads((ROOT / "web/package.json").read_text())
    npm = {*dashboard.get("dependencies", {}), *dashboard.get("devDependencies", {})}
    peers = set(versions()) - {"typing-extensions"}
    assert {"arq", "saq", "streaq", "taskiq", "bullmq", "groupmq", "bull"} <= peers
    assert {"celery", "pymongo"} <= locked
    assert peers & (direct | locked | npm) == set()


def test_the_cache_is_outside_of_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "laneway-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert not cache_folder().is_relative_to(ROOT)


def test_a_peer_that_cannot_be_installed_is_reported_once_and_left_out(tmp_path: Path) -> None:
    lacking = replace(ARQ, packages="lacking")
    output = io.StringIO()
    found = results.new(quick=True, rounds=1, cases=["throughput"], mongo="none")
    bench = Bench(QUICK, found, Installer(tmp_path), Console(file=output, width=200))

    def install() -> Figures:
        bench.installer.programs(lacking)
        raise AssertionError("it was installed")

    for _ in range(2):
        assert bench.attempt("throughput", lacking, install, synced=True) is None
    assert "lacking.txt" in found.skipped["arq"]
    assert output.getvalue().count("left out") == 1
    assert found.measurements == []
    with pytest.raises(NotInstalledError, match=r"lacking\.txt"):
        bench.installer.programs(lacking)


def test_a_run_that_fails_is_kept_with_its_reason(tmp_path: Path) -> None:
    found = results.new(quick=True, rounds=1, cases=["throughput"], mongo="none")
    bench = Bench(QUICK, found, Installer(tmp_path), Console(file=io.StringIO()))

    def fail() -> Figures:
        raise RunError("9 of 10 jobs started")

    assert bench.attempt("throughput", BULLMQ, fail, synced=True, users=1) is None
    [measurement] = found.measurements
    assert measurement.error == "RunError: 9 of 10 jobs started"
    assert measurement.figures == {}


def test_no_run_is_started_when_the_time_is_up(tmp_path: Path) -> None:
    found = results.new(quick=True, rounds=1, cases=["throughput"], mongo="none")
    plan = replace(QUICK, limit_seconds=60)
    bench = Bench(plan, found, Installer(tmp_path), Console(file=io.StringIO(), width=200))
    measured = Figures({"jobs_per_second": 1})
    assert bench.attempt("throughput", BULLMQ, lambda: measured, synced=True, users=1) is measured
    bench.started -= 61
    for case in ("throughput", "latency", "latency"):
        assert bench.attempt(case, BULLMQ, lambda: measured, synced=True, users=2) is None
    assert len(found.measurements) == 1
    assert found.out_of_time == ["throughput", "latency"]
    assert any("throughput, latency" in line for line in report.conditions(found))


def test_laneway_runs_between_all_peers_of_a_whole_benchmark(tmp_path: Path) -> None:
    found = results.new(quick=False, rounds=1, cases=[], mongo="none")
    bench = Bench(WHOLE, found, Installer(tmp_path), Console(file=io.StringIO()))
    assert list(bench.in_turn([BULLMQ, ARQ])) == [LANEWAY, BULLMQ, LANEWAY, ARQ]
    bench.plan = QUICK
    assert list(bench.in_turn([BULLMQ, ARQ])) == [LANEWAY, BULLMQ, ARQ]
