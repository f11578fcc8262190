"""The real helm, and the chart as it renders by default and with everything on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster import toolchain
from tests.helm.chart import EVERYTHING_ON, Helm, Manifest


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(program("helm"))


@pytest.fixture(scope="session")
def default(helm: Helm) -> list[Manifest]:
    return helm.render()


@pytest.fixture(scope="session")
def everything(helm: Helm) -> list[Manifest]:
    return helm.render(EVERYTHING_ON)


def program(name: str) -> Path:
    """From the PATH or from what the cluster's tests have built; in CI it is built now, elsewhere the tests are skipped."""
    if found := shutil.which(name):
        return Path(found)
    if (built := toolchain.folder() / name).exists():
        return built
    try:
        if "CI" in os.environ:
            return toolchain.tools(name)[name]
    except toolchain.ToolsMissingError as error:
        pytest.skip(str(error))
    pytest.skip(f"{name} is not installed; `python -m tests.cluster.toolchain` builds it")
