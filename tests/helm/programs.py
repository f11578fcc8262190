"""Where tests find helm."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster import toolchain


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
