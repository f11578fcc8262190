"""The files that `laneway dev` is given become modules that API and worker can import."""

from __future__ import annotations

from pathlib import Path

import pytest

from laneway.dev.handler_files import modules_of
from laneway.dev.machine import CannotStart


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("jobs.py", "mail/jobs.py", "notes.txt", "two words.py", "../elsewhere.py"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).touch()
    return tmp_path / "project"


def test_files_below_the_folder_are_modules(folder: Path) -> None:
    given = [Path("jobs.py"), Path("mail/jobs.py"), folder / "mail" / ".." / "jobs.py"]
    assert modules_of(given, folder) == ["jobs", "mail.jobs", "jobs"]


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("nowhere.py", "no file nowhere.py"),
        ("mail", "no file mail"),
        ("notes.txt", "no Python file"),
        ("../elsewhere.py", "not below this folder"),
        ("two words.py", "letters, digits and underscores"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_remedy(folder: Path, file: str, complaint: str) -> None:
    with pytest.raises(CannotStart, match=complaint):
        modules_of([Path(file)], folder)
