"""What `laneway dev` needs of the machine: free ports, a data directory of its own, secrets that last."""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import secrets
import socket
from pathlib import Path
from typing import IO

from laneway.dev.embedded import reserve_port

LOCK_FILE = "lock"
SECRET_FILE = "jwt_secret"  # noqa: S105 - a name
ADMIN_NAME = "admin"
"""The administrator of `laneway dev`, unless the settings name one. Nobody can register this name."""
ADMIN_PASSWORD_FILE = "admin_password"  # noqa: S105 - a name
WEBHOOKS_KEY_FILE = "webhooks_key"
_EVERYWHERE = {"0.0.0.0", "", "::"}


class CannotStart(RuntimeError):
    """Something on this machine is in the way; the message says what to do."""


def lock(data_dir: Path) -> IO[str]:
    """Hold the data directory while this process lives. Raises CannotStart when another process holds it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (data_dir / LOCK_FILE).open("a+")
    except OSError as error:
        raise CannotStart(f"cannot use the data directory {data_dir}: {error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise CannotStart(
            f"process {file.read().strip()} already runs on the data directory {data_dir}; stop it, or set LANEWAY_DATA_DIR"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def lasting_secret(data_dir: Path, name: str) -> str:
    """Return a secret. It is generated once, so that what it signs outlives a restart, and readable by this user only."""
    path = data_dir / name
    if not path.exists():
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)  # complete or absent, whenever the power fails
    return path.read_text()


def check_ports(ports: list[tuple[str, str, int]]) -> None:
    """Check that programs can listen on these ports, each given with its variable and host, and keep embedded servers off
    them. Raises CannotStart and names the variable."""
    for position, (variable, host, port) in enumerate(ports):
        for other_variable, other_host, other_port in ports[:position]:
            if port == other_port and _overlap(host, other_host):
                raise CannotStart(
                    f"port {port} is set twice: {other_variable} and {variable}; set one of them to another"
                )
        reserve_port(port)
    for variable, host, port in ports:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
                raise CannotStart(f"port {port} {why}; set {variable} to another") from error


def answers(host: str, port: int, path: str) -> bool:
    """Whether a program that listens on `host` answers 200."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Return an address at which a program that listens on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _overlap(one: str, other: str) -> bool:
    return one == other or one in _EVERYWHERE or other in _EVERYWHERE
