"""Fixtures: the real helm, and the chart rendered with default values and with everything on."""

from __future__ import annotations

import pytest

from tests.helm.chart import EVERYTHING_ON, Helm, Manifest
from tests.helm.programs import program


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Return the helm program."""
    return Helm(program("helm"))


@pytest.fixture(scope="session")
def default(helm: Helm) -> list[Manifest]:
    """Return the manifests of the default values."""
    return helm.render()


@pytest.fixture(scope="session")
def everything(helm: Helm) -> list[Manifest]:
    """Return the manifests with every optional part turned on."""
    return helm.render(EVERYTHING_ON)
