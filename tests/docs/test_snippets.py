"""What docs/client.md and docs/cli.md show works: their blocks are run in order on `laneway dev`, and print what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dev.conftest import Machine

DOCS = Path(__file__).parents[2] / "docs"
LIMIT_SECONDS = 60


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.up()
    yield machine
    machine.stop()


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


def test_the_page_on_the_command_line(machine: Machine, tmp_path: Path) -> None:
    script = "\n".join(blocks("cli.md", "bash")).replace("ann", "bea")
    printed = run(["bash", "-euo", "pipefail", "-c", script], machine, tmp_path)
    assert '"result":{"n":9007199254740993}' in printed
    assert '"words":6' in printed
    assert "\n2500\n" in printed
    assert printed.endswith("logged out\n")
