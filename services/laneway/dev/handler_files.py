"""The files that `laneway dev` is given, as the modules that API and worker import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from laneway.dev.machine import CannotStart


def modules_of(files: Sequence[Path], folder: Path) -> list[str]:
    """Return the names by which these files are imported in `folder`, where API and worker run. Raises CannotStart."""
    return [_module(file, folder) for file in files]


def _module(file: Path, folder: Path) -> str:
    if not (folder / file).is_file():
        raise CannotStart(f"there is no file {file}; name Python files with handlers, for example jobs.py")
    if file.suffix != ".py":
        raise CannotStart(f"{file} is no Python file; name files such as jobs.py")
    try:
        parts = (folder / file).resolve().relative_to(folder.resolve()).with_suffix("").parts
    except ValueError:
        raise CannotStart(
            f"{file} is not below this folder, so it could not be imported; run `laneway dev` in its folder"
        ) from None
    if not all(part.isidentifier() for part in parts):
        raise CannotStart(
            f"{file} cannot be imported: let its name, and those of its folders, be letters, digits and underscores"
        )
    return ".".join(parts)
