"""Reports: what programs publish about themselves for administrators. A worker reports its processes, the operator its pools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

import orjson

from laneway.lanes.commands.base import Arg, Command

MAX_REPORTS = 1000


class ReportKind(StrEnum):
    """What a report is about."""

    WORKERS = "workers"
    POOLS = "pools"


@dataclass(frozen=True, slots=True)
class Report(Command[None]):
    """Publish a report under a name, for `seconds`. `body`: anything that JSON can hold."""

    script: ClassVar[str] = "report"
    kind: ReportKind
    name: str
    body: dict[str, Any]
    seconds: float

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `report.lua`."""
        return self.kind, self.name, orjson.dumps(self.body), int(self.seconds * 1000)

    def parse(self, reply: Any) -> None:
        """Ignore the reply, which says nothing."""


class Reported(NamedTuple):
    """A report as it was published. It expires unless its program publishes it again."""

    name: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InspectReports(Command[list[Reported]]):
    """Read the valid reports of a kind, in the order of their names. At most MAX_REPORTS."""

    script: ClassVar[str] = "inspect_reports"
    kind: ReportKind

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_reports.lua`."""
        return self.kind, MAX_REPORTS

    def parse(self, reply: Any) -> list[Reported]:
        """Read the reply of `inspect_reports.lua`."""
        return sorted(Reported(name.decode(), orjson.loads(text)) for name, text in reply)
