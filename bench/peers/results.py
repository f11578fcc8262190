"""What a benchmark measured, and the file that keeps it."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.peers import install, statistics
from bench.peers.catalogue import OURS
from laneway import __version__
from laneway.dev import embedded
from laneway.processors import usable_processors

FORMAT = 1
FOLDER = Path(__file__).parents[1] / "results"
SYNCED = (
    "Valkey with an append-only file and `appendfsync always`: every write is on disk before it is answered"
)
UNSYNCED = "Valkey without an append-only file"
ARCHIVED = "Laneway archives every job into {mongo}, beside the jobs; no peer archives anything"


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run."""

    case: str
    peer: str
    synced: bool | None = None
    """Whether Redis synced every write; None where that is not part of the case."""
    archived: bool = False
    """Whether the jobs were archived meanwhile."""
    parameters: dict[str, int | str] = {}
    figures: dict[str, float] = {}
    samples_ms: list[float] = []
    """Single latencies, for the plot."""
    error: str = ""

    @property
    def key(self) -> Key:
        """What the measurements of all rounds have in common."""
        return Key(self.case, self.peer, self.synced, tuple(sorted(self.parameters.items())))


class Key(msgspec.Struct, frozen=True):
    """A case of a peer with its parameters."""

    case: str
    peer: str
    synced: bool | None
    parameters: tuple[tuple[str, int | str], ...]


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    processors: int
    model: str
    memory_gb: float
    system: str
    load_before: float
    """Load average of the minute before: a busy machine is no place for figures."""


class Results(msgspec.Struct, kw_only=True):
    """A results file."""

    format: int = FORMAT
    taken_at: str
    quick: bool
    rounds: int
    cases: list[str]
    machine: Machine
    versions: dict[str, str]
    synced: str = SYNCED
    unsynced: str = UNSYNCED
    archived: str = ""
    skipped: dict[str, str] = {}
    """Peers that could not be run, with the reason."""
    out_of_time: list[str] = []
    """Cases in which runs were left out because the time was up."""
    measurements: list[Measurement] = []

    def is_whole(self, cases: Iterable[str]) -> bool:
        """Whether all of these cases were measured as a whole benchmark does, and none was cut short when the time was up."""
        return not self.quick and not self.out_of_time and set(self.cases) >= set(cases)

    def medians(self) -> dict[Key, dict[str, float]]:
        """Return the median of each figure over the rounds."""
        rounds: dict[Key, list[dict[str, float]]] = defaultdict(list)
        for one in self.measurements:
            if not one.error:
                rounds[one.key].append(one.figures)
        return {key: statistics.medians(figures) for key, figures in rounds.items()}

    def errors(self) -> dict[Key, str]:
        """Return why a peer has no figures for a key."""
        measured = self.medians()
        return {one.key: one.error for one in self.measurements if one.error and one.key not in measured}

    def figure(
        self, name: str, case: str, peer: str = OURS, synced: bool | None = None, **parameters: int | str
    ) -> float | None:
        """Return the median of one figure; None where it was not measured."""
        key = Key(case, peer, synced, tuple(sorted(parameters.items())))
        return self.medians().get(key, {}).get(name)


class FormatError(ValueError):
    """A file is no results file, or one of another format."""


def load(path: Path) -> Results:
    """Read a results file. Raises FormatError."""
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except msgspec.MsgspecError as error:
        raise FormatError(f"{path} is no results file of `make bench`: {error}") from error
    if results.format != FORMAT:
        raise FormatError(
            f"{path} has format {results.format}, and this program reads {FORMAT}: measure again"
        )
    return results


def save(results: Results, path: Path) -> None:
    """Write a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def new(*, quick: bool, rounds: int, cases: Iterable[str], mongo: str) -> Results:
    """Return results without measurements, with what this machine is."""
    return Results(
        taken_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        quick=quick,
        rounds=rounds,
        cases=list(cases),
        machine=machine(),
        versions={
            "laneway": __version__,
            "valkey": _valkey_version(),
            "python": platform.python_version(),
            "mongo": mongo,
            **{name: importlib.metadata.version(name) for name in ("celery", "fastapi")},
            **install.versions(),
        },
        archived=ARCHIVED.format(mongo=mongo),
    )


def machine() -> Machine:
    """Describe this machine, without its name."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    kilobytes = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    load_before = float(Path("/proc/loadavg").read_text().split()[0])
    return Machine(
        usable_processors(), model, round(kilobytes / 1e6, 1), f"Linux {platform.release()}", load_before
    )


def _valkey_version() -> str:
    """Return 9.1.2 where the server says "Valkey server v=9.1.2 sha=...". A Redis says the same of itself."""
    command = [embedded.valkey_binary(), "--version"]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return written.partition("v=")[2].partition(" ")[0]
