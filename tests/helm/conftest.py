"""The real helm, and the chart as it renders by default and with everything on."""

from __future__ import annotations

import pytest

from tests.helm.chart import EVERYTHING_ON, Helm, Manifest
from tests.helm.programs import program


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(program("helm"))


@pytest.fixture(scope="session")
def default(helm: Helm) -> list[Manifest]:
    return helm.render()


@pytest.fixture(scope="session")
def everything(helm: Helm) -> list[Manifest]:
    return helm.render(EVERYTHING_ON)
