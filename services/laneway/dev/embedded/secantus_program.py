"""The process of the embedded MongoDB-protocol server; `secantus_server` starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from laneway.dev.embedded.secantus_names import READY_FILE, USER


def main() -> None:
    """Serve until SIGTERM. Reads its settings as JSON from standard input and keeps its data in the working directory."""
    from laneway.compat import secantus  # noqa: PLC0415 - secantus is an optional extra and slow to import

    config = json.load(sys.stdin)
    server = secantus.start(config["host"], config["port"], username=USER, password=config["password"])
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set())
    Path(READY_FILE).write_text(str(os.getpid()))
    stopped.wait()
    secantus.stop(server)


if __name__ == "__main__":
    main()
