"""The verdict: for each rule how much was checked and what broke it, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson
from rich.console import Console
from rich.table import Table


class Rule(StrEnum):
    """What is judged. The text says what holds."""

    LOST = "every accepted request is there"
    NO_END = "every job has ended"
    TWO_ENDS = "each job ended exactly one way"
    UNASKED = "every job was asked for, once"
    ACCEPTANCE = "ids are in the order of acceptance"
    START_ORDER = "jobs of a lane start in order"
    RETRY_ORDER = "with one slot a retry comes before later jobs"
    SLOTS = "a lane uses no more than its slots"
    ONE_LEASE = "no job is in two hands"
    LATE_FINISH = "a late finish changes nothing"
    RERUN = "what has ended is not run again without a fault"
    ATTEMPTS = "attempts stay within the limit"
    HISTORY = "history agrees with what happened"


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach of a rule."""

    rule: Rule
    user: str
    job_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rules with the number of things each looked at, and everything that broke them."""

    checked: dict[Rule, int]
    violations: tuple[Violation, ...]

    @property
    def clean(self) -> bool:
        return not self.violations

    def broken(self) -> set[Rule]:
        return {violation.rule for violation in self.violations}

    def json(self) -> bytes:
        """The machine-readable verdict: `{"clean", "checked": {rule: n}, "violations": [...]}`, rules by
        name."""
        return orjson.dumps(
            {
                "clean": self.clean,
                "checked": {rule.name.lower(): count for rule, count in self.checked.items()},
                "violations": [
                    asdict(violation) | {"rule": violation.rule.name.lower()} for violation in self.violations
                ],
            },
            option=orjson.OPT_INDENT_2,
        )

    def table(self) -> Table:
        """One line a rule, with the first breach of each."""
        table = Table(title="Verdict: clean" if self.clean else "Verdict: BROKEN", title_justify="left")
        table.add_column("rule")
        table.add_column("checked", justify="right")
        table.add_column("broken", justify="right")
        table.add_column("first breach", overflow="fold")
        for rule in Rule:
            broken = [violation for violation in self.violations if violation.rule is rule]
            first = f"{broken[0].user} {broken[0].job_id}: {broken[0].text}" if broken else ""
            style = "bold red" if broken else ""
            table.add_row(rule.value, f"{self.checked.get(rule, 0):,}", str(len(broken)), first, style=style)
        return table

    def show(self, console: Console) -> None:
        """Print the table."""
        console.print(self.table())
