"""One machine: `laneway dev` starts a Valkey and a MongoDB-protocol server, the API and a worker, and keeps them running.

They are the same programs as in the image, each a child process; what ends unasked is started again. The order of stopping is
that of dependence: API, worker, servers. Everything the children print goes through here to one log file, so that there is
one writer and rotation tears no line. `LANEWAY_REDIS_URL` and `LANEWAY_MONGO_URL`, where set, take the place of the embedded
servers.
"""

from __future__ import annotations

from laneway.dev.main import main

__all__ = ["main"]
