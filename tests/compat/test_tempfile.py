"""Canary: `tempfile` asks for its default folder each time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from laneway.compat.tempfile import set_default_folder


def test_tempfile_asks_for_the_folder_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_gettempdir", vars(tempfile)["_gettempdir"])
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        set_default_folder(lambda folder=folder: str(folder))  # type: ignore[misc]
        with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as made:
            assert {Path(file.name).parent, Path(made).parent} == {folder}, (
                "tempfile no longer asks `_gettempdir`; see compat/tempfile.py"
            )
        assert tempfile.gettempdir() == str(folder)
        assert tempfile.gettempdirb() == str(folder).encode()
