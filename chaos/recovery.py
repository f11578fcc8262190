"""How long the system needs to be back at full speed after each kind of fault.

Speed is the rate at which attempts end, over one second. Full speed is 80 % of the median of those rates in all calm time
before the fault. The time is counted from the moment at which the fault was lifted (the process was killed, the server is up
again, the network is whole) to the beginning of the first second at full speed; 0 if there was none slower.
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
FULL = 0.8


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of one fault, or of several at once. Seconds; `back_seconds` None: not within the time that was waited."""

    names: tuple[str, ...]
    lasted_seconds: float
    back_seconds: float | None


class Speed:
    """Judges the times at which attempts ended."""

    def __init__(self, times_ns: Sequence[int]) -> None:
        self._times_ns = times_ns
        self._calm: list[int] = []

    def calm(self, from_ns: int, until_ns: int) -> None:
        """Nothing was disturbed between the two; what is shorter than a second counts for nothing."""
        for start_ns in range(from_ns, until_ns - SECOND_NS + 1, SECOND_NS):
            self._calm.append(self._rate(start_ns))

    def back(self, lifted_ns: int, until_ns: int) -> int | None:
        """When the first second at full speed began that is over by `until_ns`."""
        full = FULL * median(self._calm)
        for start_ns in range(lifted_ns, until_ns - SECOND_NS + 1, STEP_NS):
            if self._rate(start_ns) >= full:
                return start_ns
        return None

    def _rate(self, start_ns: int) -> int:
        times = self._times_ns
        return bisect_left(times, start_ns + SECOND_NS) - bisect_left(times, start_ns)


def table(found: Sequence[Recovery]) -> Table:
    """One line a kind; those thrown together in one."""
    of_kind: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in found:
        of_kind[recovery.names[0] if len(recovery.names) == 1 else "two at once"].append(recovery)
    result = Table(title="Back at full speed (80 % of the median rate before), seconds", title_justify="left")
    for column in ("fault", "times", "lasted", "back after, median", "worst", "not in time"):
        result.add_column(column, justify="left" if column == "fault" else "right")
    for name, some in sorted(of_kind.items()):
        back = [one.back_seconds for one in some if one.back_seconds is not None]
        never = len(some) - len(back)
        result.add_row(
            name,
            str(len(some)),
            f"{median(one.lasted_seconds for one in some):.1f}",
            f"{median(back):.1f}" if back else "-",
            f"{max(back):.1f}" if back else "-",
            str(never or ""),
        )
    return result
