"""The program of the embedded MongoDB-protocol server; `servers.mongo_server` starts this file."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

USER = "laneway"
READY_FILE = "ready"
"""Holds the process id of a server that listens; in its working directory."""


def main() -> None:
    """Settings as JSON on standard input, data in the working directory."""
    from secantus import SecantusDBServer  # noqa: PLC0415 - an optional extra, and slow to import
    from secantus.auth import SCRAM_SHA_256, derive_credentials  # noqa: PLC0415

    config = json.load(sys.stdin)
    server = SecantusDBServer(
        host=config["host"],
        port=config["port"],
        storage_path=".",
        replica_set_name=None,  # standalone: no oplog, so half the writes
        require_auth=True,
        enable_test_commands=False,
        client_idle_timeout_s=86_400,
        sync_on_commit=True,  # history leaves Redis once it is here; a batch of 1,000 costs the same either way
    )
    server.storage.add_user(
        "admin",
        USER,
        {
            "_id": f"admin.{USER}",
            "user": USER,
            "db": "admin",
            "credentials": derive_credentials(
                config["password"], mechanism=SCRAM_SHA_256, username=USER
            ).to_doc(),
            "roles": [{"role": "root", "db": "admin"}],
            "mechanisms": [SCRAM_SHA_256],
        },
        replace=True,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    server.start()
    Path(READY_FILE).write_text(str(os.getpid()))
    stop.wait()
    with suppress(OSError, AttributeError):
        server._socket.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - closing alone does not wake its accept(), and stop() waits 2 s
    server.stop()


if __name__ == "__main__":
    main()
