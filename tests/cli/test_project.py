"""`laneway init` makes a project whose test passes, whose files lint, and whose values the chart takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from typer.testing import CliRunner, Result

from laneway import __version__
from laneway.__main__ import app
from tests.helm.chart import CHART, Helm
from tests.helm.programs import program

FILES = {"jobs.py", "test_jobs.py", "Dockerfile", "values.yaml"}
LIMIT_SECONDS = 60


def init(folder: Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "My Greeter"
    init(folder)
    return folder


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_test_passes(project: Path) -> None:
    assert {path.name for path in project.iterdir()} >= FILES
    assert "2 passed" in run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_its_files_lint(project: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    run(project, ruff, "check", "--isolated", "--no-cache", "--extend-select=I,UP,B", ".")
    run(project, ruff, "format", "--isolated", "--no-cache", "--check", ".")
    searched = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if hadolint := shutil.which("hadolint", path=searched):
        run(project, hadolint, "Dockerfile")


def test_its_image_is_built_on_that_of_this_release(project: Path) -> None:
    lines = (project / "Dockerfile").read_text().splitlines()
    assert f"ARG LANEWAY_IMAGE=laneway:{__version__}" in lines
    assert "FROM ${LANEWAY_IMAGE}" in lines


def test_the_chart_takes_its_values(project: Path) -> None:
    values = yaml.safe_load((project / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert jsonschema_rs.is_valid(schema, values)
    assert not jsonschema_rs.is_valid(schema, {**values, "imag": {}})


def test_the_release_runs_its_handlers_from_its_image(project: Path) -> None:
    text = Helm(program("helm")).template(yaml.safe_load((project / "values.yaml").read_text()))
    assert "my-greeter:1" in text
    assert "LANEWAY_HANDLERS: jobs" in text.replace('"', "")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert "already has Dockerfile" in init(tmp_path, code=2).output
    assert [path.name for path in tmp_path.iterdir()] == ["Dockerfile"]
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot make the project" in init(tmp_path / "file", code=2).output
