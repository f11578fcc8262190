"""`python -m tests.servers redis|ferretdb COMMAND...`: run a command, such as pytest, on another server than the embedded one.

`redis` is the `redis-server` on the path (Debian 12 has 7.0), `ferretdb` a second implementation of MongoDB's protocol. The tests
find the server through LANEWAY_TEST_REDIS_URL or LANEWAY_TEST_MONGO_URL. The exit code is that of the command.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from laneway.dev.embedded import free_port
from tests.servers.ferretdb_build import FERRETDB

START_SECONDS = 30.0
SERVERS = {"redis": "LANEWAY_TEST_REDIS_URL", "ferretdb": "LANEWAY_TEST_MONGO_URL"}


def command_and_url(name: str, folder: Path) -> tuple[list[str], str]:
    """Return the command that starts a server on a free port, and its address."""
    port = free_port()
    if name == "ferretdb":
        (folder / "data").mkdir()
        return [
            str(FERRETDB.programs()["ferretdb"]),
            f"127.0.0.1:{port}",
            "data",
        ], f"mongodb://127.0.0.1:{port}/"
    program = shutil.which("redis-server") or sys.exit("redis-server is not installed")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--appendonly", "yes", "--save", ""]
    return [program, *options], f"redis://127.0.0.1:{port}/0"


def await_listening(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server accepts connections. Exits with a message when it does not."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"the server at {url} did not start")


def main() -> int:
    """Run the command on the server that the command line names."""
    if len(sys.argv) < 3 or sys.argv[1] not in SERVERS:
        sys.exit(f"usage: python -m tests.servers {'|'.join(SERVERS)} COMMAND...")
    name, command = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix=f"laneway-{name}-") as folder:
        start, url = command_and_url(name, Path(folder))
        with Path(folder, "server.log").open("wb") as log:
            server = subprocess.Popen(start, cwd=folder, stdout=log, stderr=log)
        try:
            await_listening(url, server)
            return subprocess.run(command, env={**os.environ, SERVERS[name]: url}, check=False).returncode
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    sys.exit(main())
