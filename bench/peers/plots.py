"""The plots of a results file, for README and the docs. Logarithmic axes where the values spread over powers of ten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.peers.catalogue import LANEWAY, OURS, RIVALS
from bench.peers.results import Results

COLORS = {OURS: "tab:red", "bullmq": "tab:blue", "groupmq": "tab:green", "bull": "tab:orange"}
Point = tuple[float, float]


def draw(results: Results, stem: Path) -> list[Path]:
    """Write `<stem>-<plot>.png` for each plot whose case was measured, and return their paths."""
    plots = {"users": _users, "latency": _latency, "backlog": _backlog, "fairness": _fairness}
    cases = {measurement.case for measurement in results.measurements if not measurement.error}
    needed = {"users": "throughput"}
    return [
        _write(plot, results, stem.with_name(f"{stem.name}-{name}.png"))
        for name, plot in plots.items()
        if needed.get(name, name) in cases
    ]


def _write(plot: Callable[[Axes, Results], None], results: Results, path: Path) -> Path:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    plot(axes, results)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _users(axes: Axes, results: Results) -> None:
    axes.set_title("Jobs/s of no-op jobs (solid: every write synced, dashed: not synced)")
    for synced, style in ((True, "-"), (False, "--")):
        for peer, title, color in _peers():
            points = _points(results, "throughput", peer, synced, "users", "jobs_per_second")
            if points:
                label = title if synced else None
                axes.plot(*zip(*points, strict=True), style, marker="o", color=color, label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("users")
    axes.set_ylabel("jobs/s")


def _latency(axes: Axes, results: Results) -> None:
    axes.set_title("Idle latency, every write synced")
    for peer, title, color in _peers():
        samples = sorted(
            sample
            for one in results.measurements
            if (one.case, one.peer, one.synced) == ("latency", peer, True)
            for sample in one.samples_ms
        )
        if samples:
            parts = [(number + 1) / len(samples) * 100 for number in range(len(samples))]
            axes.plot(samples, parts, color=color, label=title)
    axes.set_xscale("log")
    axes.set_xlabel("ms from the call that enqueues a job to its start")
    axes.set_ylabel("% of jobs that have started")


def _backlog(axes: Axes, results: Results) -> None:
    axes.set_title("Redis's processor time a job, by the jobs queued in one lane")
    _lines(axes, results, "backlog", synced=False, x="backlog", y="redis_us_per_job", lanes=1)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("jobs queued")
    axes.set_ylabel("us a job")


def _fairness(axes: Axes, results: Results) -> None:
    axes.set_title("Wait of a light user beside a heavy one, every write synced")
    _lines(axes, results, "fairness", synced=True, x="heavy", y="p50_ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("jobs of the heavy user, queued before")
    axes.set_ylabel("ms")


def _lines(
    axes: Axes, results: Results, case: str, *, synced: bool, x: str, y: str, **fixed: int | str
) -> None:
    for peer, title, color in _peers():
        points = _points(results, case, peer, synced, x, y, **fixed)
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=title)


def _points(
    results: Results, case: str, peer: str, synced: bool, x: str, y: str, **fixed: int | str
) -> list[Point]:
    points = []
    for key, figures in results.medians().items():
        parameters = dict(key.parameters)
        is_fixed = all(parameters.get(name) == value for name, value in fixed.items())
        if (key.case, key.peer, key.synced) == (case, peer, synced) and is_fixed and y in figures:
            points.append((float(parameters[x]), figures[y]))
    return sorted(points)


def _peers() -> Iterator[tuple[str, str, str]]:
    for peer in (LANEWAY, *RIVALS):
        yield peer.name, peer.title, COLORS[peer.name]
