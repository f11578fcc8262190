"""A real API server accepts the rendered chart, with every pair of switch positions."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster.program import Program
from tests.cluster.release import CHART, NAME
from tests.helm.chart import merged
from tests.helm.test_combinations import POSITIONS, SWITCHES


@pytest.mark.parametrize(
    "positions", POSITIONS, ids=lambda positions: "".join("01"[on] for on in positions.values())
)
def test_the_api_server_accepts_every_combination(
    helm: Program, kubectl: Program, restricted: str, definitions: None, positions: dict[str, bool]
) -> None:
    """A dry run includes defaulting, schemas, CEL rules and admission; Pod Security's warnings count as errors."""
    values = merged(*(SWITCHES[name][on] for name, on in positions.items()))
    where = f"--namespace={restricted}"
    rendered = helm(
        "template", NAME, str(CHART), where, "--values=-", "--dry-run=server", stdin=yaml.safe_dump(values)
    )
    apply = ("apply", where, "--filename=-", "--dry-run=server", "--validate=strict", "--warnings-as-errors")
    accepted = kubectl(*apply, "--output=name", stdin=rendered).split()
    objects = [body for body in yaml.safe_load_all(rendered) if body]
    assert len(accepted) == len(objects) >= 10
