"""How long the system takes to be back at full speed after each kind of fault.

Speed is the number of attempts that end in one second. Full speed is 80 % of the median speed in all calm time so far. The clock
starts when the fault is over (the process was killed, the server is up again, the network is whole) and stops at the beginning of
the first second at full speed. The result is 0 if the speed never fell below that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table

SECOND_NS = 1_000_000_000
STEP_NS = 100_000_000
FULL_SPEED = 0.8


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recovery from one fault, or from several at once. `recovered_seconds` is None if it took too long."""

    names: tuple[str, ...]
    lasted_seconds: float
    recovered_seconds: float | None


class Speed:
    """The speed of the system, from the sorted times at which attempts ended."""

    def __init__(self, end_times_ns: Sequence[int]) -> None:
        self._end_times_ns = end_times_ns
        self._calm_rates: list[int] = []

    def add_calm(self, from_ns: int, until_ns: int) -> None:
        """Count a time without faults towards full speed. The part beyond the last whole second does not count."""
        for start_ns in range(from_ns, until_ns - SECOND_NS + 1, SECOND_NS):
            self._calm_rates.append(self._rate(start_ns))

    def recovered_ns(self, fault_end_ns: int, until_ns: int) -> int | None:
        """Return the beginning of the first second at full speed, or None if there is none that ends by `until_ns`."""
        full = FULL_SPEED * median(self._calm_rates)
        for start_ns in range(fault_end_ns, until_ns - SECOND_NS + 1, STEP_NS):
            if self._rate(start_ns) >= full:
                return start_ns
        return None

    def _rate(self, start_ns: int) -> int:
        times = self._end_times_ns
        return bisect_left(times, start_ns + SECOND_NS) - bisect_left(times, start_ns)


def recovery_table(recoveries: Sequence[Recovery]) -> Table:
    """Return a table with one line for each kind of fault, and one for all pairs that were injected together."""
    by_name: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in recoveries:
        by_name[recovery.names[0] if len(recovery.names) == 1 else "two at once"].append(recovery)
    table = Table(title="Back at full speed (80 % of the median rate before), seconds", title_justify="left")
    for column in ("fault", "times", "lasted", "back after, median", "worst", "not in time"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for name, some in sorted(by_name.items()):
        table.add_row(name, *_row(some))
    return table


def _row(recoveries: Sequence[Recovery]) -> list[str]:
    seconds = [one.recovered_seconds for one in recoveries if one.recovered_seconds is not None]
    never = len(recoveries) - len(seconds)
    return [
        str(len(recoveries)),
        f"{median(one.lasted_seconds for one in recoveries):.1f}",
        f"{median(seconds):.1f}" if seconds else "-",
        f"{max(seconds):.1f}" if seconds else "-",
        str(never or ""),
    ]
