"""`laneway api`: several processes behind one port, until SIGTERM."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile

from laneway import open_files
from laneway.settings import load
from laneway.telemetry import log as logs


def main() -> None:
    """Serve the API as the settings say. Exits with a message if the token secret is missing."""
    settings = load()
    open_files.require()
    logs.configure("api", settings.log_level)
    if settings.jwt_secret is None:
        sys.exit("wrong setting: LANEWAY_JWT_SECRET: the API does not start without it")
    directory = tempfile.mkdtemp(prefix="laneway-api-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    gc.disable()  # until the server has loaded the app: what is made by then stays
    # Imported only now: prometheus_client reads the variable when it is imported.
    from laneway.api.server import Server  # noqa: PLC0415

    owner = os.getpid()
    try:
        Server(settings).run()
    finally:
        if os.getpid() == owner:  # gunicorn forks inside run()
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
