"""What the pages show works.

The blocks of docs/client.md, docs/cli.md, docs/schedules.md and docs/webhooks.md are run in order on `laneway dev`, and print what the pages say. Those of
docs/handlers.md are a module of handlers, and its tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dev.conftest import Machine, machine_in

DOCS = Path(__file__).parents[2] / "docs"
LIMIT_SECONDS = 180


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_in(tmp_path_factory.mktemp("machine")) as machine:
        machine.up()
        yield machine


def run(command: list[str], machine: Machine, folder: Path) -> str:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")}
    environment |= {
        "LANEWAY_URL": machine.url,
        "XDG_CONFIG_HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_page_on_the_client(machine: Machine, tmp_path: Path) -> None:
    program = "\n".join(blocks("client.md", "python")).replace("http://127.0.0.1:8000", machine.url)
    printed = run([sys.executable, "-c", program], machine, tmp_path)
    assert printed == "".join(blocks("client.md", "text"))


@pytest.mark.thorough  # each command is a program of its own, and tests/cli shows what they do
def test_the_page_on_the_command_line(machine: Machine, tmp_path: Path) -> None:
    script = "\n".join(blocks("cli.md", "bash")).replace("ann", "bea")
    printed = run(["bash", "-euo", "pipefail", "-c", script], machine, tmp_path)
    assert '"result":{"n":9007199254740993}' in printed
    assert '"words":6' in printed
    assert "\n2500\n" in printed
    assert printed.endswith("logged out\n")


@pytest.mark.thorough
def test_the_page_on_schedules(machine: Machine, tmp_path: Path) -> None:
    program = "\n".join(blocks("schedules.md", "python")).replace("http://127.0.0.1:8000", machine.url)
    printed = run([sys.executable, "-c", program.replace('"ann"', '"cleo"')], machine, tmp_path)
    assert printed == "".join(blocks("schedules.md", "text"))
    script = "\n".join(blocks("schedules.md", "bash")).replace("ann", "dora")
    printed = run(["bash", "-euo", "pipefail", "-c", script], machine, tmp_path)
    assert "0 9 * * 1-5 Europe/Berlin" in printed
    assert printed.endswith("deleted poll\n")


@pytest.mark.thorough  # tests/client, tests/cli and tests/worker show what it does
def test_the_page_on_webhooks(machine: Machine, tmp_path: Path) -> None:
    program = "\n".join(blocks("webhooks.md", "python")).replace("http://127.0.0.1:8000", machine.url)
    printed = run([sys.executable, "-c", program.replace('"ann"', '"eve"')], machine, tmp_path)
    assert printed == "".join(blocks("webhooks.md", "text"))
    script = "\n".join(blocks("webhooks.md", "bash")).replace("ann", "finn")
    printed = run(["bash", "-euo", "pipefail", "-c", script], machine, tmp_path)
    assert re.search(r"\nwhsec_\S+\ndeleted \w+\n$", printed)


@pytest.mark.thorough  # tests/handlers and tests/dev show what it does
def test_the_page_on_handlers(tmp_path: Path) -> None:
    """Blocks that begin with the name of a file are that file; all others are `jobs.py`."""
    files = {"jobs.py": ""}
    for block in blocks("handlers.md", "python"):
        named = re.match(r"# (\w+\.py)\n", block)
        if named:
            files[named[1]] = block
        else:
            files["jobs.py"] += block
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},  # those of this repository
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout
