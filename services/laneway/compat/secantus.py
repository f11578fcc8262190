"""What we need from inside SecantusDB: a server with a password that stops at once.

| entry | needs | why | upstream |
|---|---|---|---|
| `start` | `server.storage.add_user`, `secantus.auth.derive_credentials` | the server has no setting for a first user, and without a user nobody can log in to make one | no issue known |
| `stop` | `server._socket`, shut down before `stop()` | closing a socket does not wake a thread in `accept()`, for which `stop()` waits two seconds | no issue known |
"""

from __future__ import annotations

import socket
from contextlib import suppress

from secantus import SecantusDBServer
from secantus.auth import SCRAM_SHA_256, derive_credentials

CLIENT_IDLE_SECONDS = 86_400


def start(host: str, port: int, *, username: str, password: str) -> SecantusDBServer:
    """Start a server with one user, who may do everything, on the data in the working directory."""
    server = SecantusDBServer(
        host=host,
        port=port,
        storage_path=".",
        replica_set_name=None,  # standalone: no oplog, so half the writes
        require_auth=True,
        enable_test_commands=False,
        client_idle_timeout_s=CLIENT_IDLE_SECONDS,
        sync_on_commit=True,  # a job leaves Redis once it is stored here; a batch of 1,000 costs the same either way
    )
    credentials = derive_credentials(password, mechanism=SCRAM_SHA_256, username=username).to_doc()
    user = {
        "_id": f"admin.{username}",
        "user": username,
        "db": "admin",
        "credentials": credentials,
        "roles": [{"role": "root", "db": "admin"}],
        "mechanisms": [SCRAM_SHA_256],
    }
    server.storage.add_user("admin", username, user, replace=True)
    server.start()
    return server


def stop(server: SecantusDBServer) -> None:
    """Stop the server and wait until its data is on disk."""
    with suppress(OSError, AttributeError):
        server._socket.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - see the module's docstring
    server.stop()
