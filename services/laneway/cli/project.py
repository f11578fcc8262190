"""The subcommand that makes a new project: a typed handler, its test, a Dockerfile and values for the chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from laneway.cli.output import USAGE

PANEL = "Your handlers"
_FILES = ("jobs.py", "test_jobs.py", "Dockerfile", "values.yaml")
_NEXT = """Next:
  cd {folder}
  pytest                                 # with laneway and pytest installed
  laneway dev jobs.py                    # the whole system on this machine, with laneway[dev]
  docker build --tag {name}:1 .          # then helm install with values.yaml"""


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project. It is made if it does not exist.")
    ] = Path(),
) -> None:
    """Make a project with a typed handler, its test, a Dockerfile and chart values. Overwrites nothing."""
    name = _name(folder)
    try:
        _write(folder, {file: _filled(file, name) for file in _FILES})
    except OSError as error:
        typer.echo(f"laneway: cannot make the project: {error}", err=True)
        raise typer.Exit(USAGE) from None
    typer.echo(f"Made {', '.join(str(folder / file) for file in _FILES)}.")
    typer.echo(_NEXT.format(folder=folder, name=name))


COMMANDS = (init,)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all files or none. Raises FileExistsError if one is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    present = [file for file in texts if (folder / file).exists()]
    if present:
        raise FileExistsError(f"{folder} already has {', '.join(present)}; name another folder")
    for file, text in texts.items():
        with (folder / file).open("x") as opened:
            opened.write(text)


def _filled(file: str, name: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - see the package's docstring
    from importlib.resources import files  # noqa: PLC0415
    from string import Template  # noqa: PLC0415

    template = files("laneway.cli").joinpath("project_files", f"{file}.template").read_text()
    return Template(template).substitute(name=name, version=version("laneway"))


def _name(folder: Path) -> str:
    """Return the folder's name as a name for an image and a release: lower-case letters, digits and hyphens."""
    words = re.findall(r"[a-z0-9]+", folder.resolve().name.lower())
    return "-".join(words) or "jobs"
