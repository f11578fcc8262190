"""Find helm, kubectl and skaffold for tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster.toolchain import MODULES, ToolsMissingError


def program(name: str) -> Path:
    """Return a program from the PATH or from the toolchain's cache. If there is none: build it in CI, skip the test elsewhere."""
    if found := shutil.which(name):
        return Path(found)
    (module,) = (module for module in MODULES if name in module.packages)
    if (built := module.folder / name).exists():
        return built
    try:
        if "CI" in os.environ:
            return module.programs()[name]
    except ToolsMissingError as error:
        pytest.skip(str(error))
    pytest.skip(f"{name} is not installed; `python -m tests.cluster.toolchain` builds it")
