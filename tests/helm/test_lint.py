"""`helm lint --strict`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.chart import CHART, EVERYTHING_ON, EXTERNAL, EXTERNAL_SECRETS, KUBERNETES, Helm


@pytest.mark.parametrize("values", [{}, EVERYTHING_ON, EXTERNAL, EXTERNAL_SECRETS])
def test_helm_lint_reports_nothing(helm: Helm, values: dict[str, Any]) -> None:
    done = helm.run("lint", "--strict", f"--kube-version={KUBERNETES}", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
