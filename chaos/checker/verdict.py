"""The verdict: how much each rule checked and what broke it, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson
from rich.console import Console
from rich.table import Table

from chaos.records import Ending


class Rule(StrEnum):
    """The rules. Each text says what must hold."""

    LOST = "no accepted request is lost"
    NO_END = "every job has ended"
    TWO_ENDS = "each job ended in exactly one way"
    UNREQUESTED = "each job belongs to one request"
    ACCEPTANCE = "ids follow the order of acceptance"
    START_ORDER = "jobs of a lane start in order"
    RETRY_ORDER = "with one slot a retry comes before later jobs"
    SLOTS = "a lane uses no more than its slots"
    ONE_LEASE = "no job runs twice at once"
    LATE_FINISH = "a late finish changes nothing"
    RERUN = "an ended job is run again only after a fault"
    ATTEMPTS = "attempts stay within the limit"
    BLAME = "a job fails only by its own fault"
    HISTORY = "the history agrees with the handlers"


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach of a rule."""

    rule: Rule
    user: str
    job_id: str
    text: str


Findings = tuple[int, list[Violation]]
"""How many things a rule checked, and its violations."""
Reports = dict[str, list[Ending]]
"""By job id, what each source reports."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """For each rule the number of things that it checked, and all violations."""

    checked: dict[Rule, int]
    violations: tuple[Violation, ...]

    @property
    def clean(self) -> bool:
        """Whether no rule was broken."""
        return not self.violations

    def broken_rules(self) -> set[Rule]:
        """Return the rules that were broken."""
        return {violation.rule for violation in self.violations}

    def json(self) -> bytes:
        """Return `{"clean", "checked": {rule: count}, "violations": [...]}`, with the rules by their names in lower case."""
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

    def print(self, console: Console) -> None:
        """Print one line for each rule, with its first violation."""
        table = Table(title="Verdict: clean" if self.clean else "Verdict: BROKEN", title_justify="left")
        table.add_column("rule")
        table.add_column("checked", justify="right")
        table.add_column("broken", justify="right")
        table.add_column("first violation", overflow="fold")
        for rule in Rule:
            broken = [violation for violation in self.violations if violation.rule is rule]
            first = f"{broken[0].user} {broken[0].job_id}: {broken[0].text}" if broken else ""
            style = "bold red" if broken else ""
            table.add_row(rule.value, f"{self.checked.get(rule, 0):,}", str(len(broken)), first, style=style)
        console.print(table)
