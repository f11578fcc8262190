"""The import contracts notice a forbidden import. `make lint` holds the real tree against them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 250
"""Of a module that need not say why it is so long."""
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


FORBIDDEN = [
    ("lanes/keys.py", "import laneway.janitor", "Layers"),
    ("storage/mongo.py", "import laneway.presence", "Layers"),
    ("telemetry/lines.py", "import laneway.lanes.keys", "Layers"),
    ("compat/redis_py.py", "import laneway.lanes.keys", "Layers"),
    ("client/errors.py", "import laneway.lanes.keys", "Layers"),
    ("operator/report.py", "import laneway.worker.supervisor", "Layers"),
    ("a_new_module.py", "import os", "Layers"),
    ("storage/users.py", "import laneway.settings", "Settings"),
    ("lanes/store.py", "import pymongo", "Lanes know Redis"),
    ("scaling/rule.py", "import asyncio", "Scaling is pure"),
    ("worker/supervisor.py", "import celery", "Celery and kombu"),
    ("worker/supervisor.py", "import kopf", "Kubernetes stays"),
    ("worker/private_folder.py", "import pydantic", "The supervisor of a worker"),
    ("api/body.py", "import laneway.dev.embedded", "Nothing in the image"),
]
"""Modules, imports that they must not have, and the contracts that say so."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the package with all of these imports."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    ignored = shutil.ignore_patterns("__pycache__", "files")
    shutil.copytree(ROOT / "services", folder / "services", ignore=ignored)
    for module, line, _ in FORBIDDEN:
        with (folder / "services" / "laneway" / module).open("a") as file:
            file.write(f"\n{line}\n")
    done = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "services"), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout.partition("Broken contracts")[2]


@pytest.mark.parametrize(("module", "line", "contract"), FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(broken: str, module: str, line: str, contract: str) -> None:
    sections = re.split(r"\n(?=[A-Z][^\n]*\n-+\n)", broken)
    (section,) = [section for section in sections if section.startswith(contract)]
    importer = "laneway." + module.removesuffix(".py").replace("/", ".")
    assert importer in section, f"{line} in {importer}: {section}"


def test_a_long_module_says_why() -> None:
    package = ROOT / "services" / "laneway"
    texts = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    long = {name: text for name, text in texts.items() if text.count("\n") > MAX_LINES}
    assert len(long) > 10
    assert [
        name
        for name, text in long.items()
        if f"More than {MAX_LINES} lines, because" not in " ".join(text.split())
    ] == []
