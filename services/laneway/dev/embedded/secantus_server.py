"""The embedded MongoDB-protocol server, from the wheel `secantusdb`."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from laneway.dev.embedded.ports import HOST
from laneway.dev.embedded.process import Embedded, EmbeddedError, running
from laneway.dev.embedded.secantus_names import PROGRAM, READY_FILE, USER


@contextmanager
def mongo(data_dir: Path, port: int | None = None, *, host: str = HOST) -> Iterator[Embedded]:
    """Run a server with its data in `data_dir`, on a free port by default. Tests whose clients are on another network give
    its `host`."""
    with running(lambda free: mongo_server(data_dir, port=free, host=host), port) as server:
        yield server


def mongo_server(data_dir: Path, *, port: int, host: str = HOST) -> Embedded:
    """Return a server that has not been started. Raises EmbeddedError where the wheel is not installed."""
    if importlib.util.find_spec("secantus") is None:
        why = "; it has no wheel for Python 3.14, use 3.11 to 3.13" if sys.version_info >= (3, 14) else ""
        raise EmbeddedError(
            f"the embedded MongoDB-protocol server, secantusdb, is not installed{why}; or set LANEWAY_MONGO_URL"
        )
    password = secrets.token_urlsafe(24)
    config = json.dumps({"host": host, "port": port, "password": password}).encode()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = data_dir.resolve()

    def ready(pid: int) -> bool:
        try:
            return (folder / READY_FILE).read_text() == str(pid)
        except OSError:
            return False

    argv = [sys.executable, "-P", "-m", PROGRAM]  # -P: imports nothing from the data folder
    url = f"mongodb://{USER}:{password}@{host}:{port}/?authSource=admin"
    return Embedded("mongo", argv, config, folder, url, ready)
