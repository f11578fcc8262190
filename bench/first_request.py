"""From the end of the install to the answer to a first typed request, in an empty environment.

    python -m bench.first_request [--rounds 3]

Each round installs the wheel of this checkout into an empty environment, makes a project with `laneway init`, starts
`laneway dev jobs.py` in it, registers a user and enqueues a request of its typed handler. The clock runs from the end of pip.
Wait and answer are those of this machine with whatever else it does: a round on a busy one says little.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.empty_environment import build_wheel, install, make_environment
from laneway import Client
from laneway.dev.embedded import free_port
from laneway.dev.machine import answers

LIMIT_SECONDS = 120
PASSWORD = "correct horse battery"


def first_answer(url: str) -> object:
    """Register a user and return the result of a typed request, as soon as there is an API."""
    deadline, port = time.monotonic() + LIMIT_SECONDS, urlsplit(url).port or 80
    while not answers("127.0.0.1", port, "/readyz"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} is not ready after {LIMIT_SECONDS} s")
        time.sleep(0.05)
    with Client(url) as client:
        client.register("ann", PASSWORD)
    with Client(url, username="ann", password=PASSWORD) as client:
        return client.enqueue("greet", {"name": "Ada"}).wait(timeout_seconds=LIMIT_SECONDS).result


def measure(wheel: Path, folder: Path) -> float:
    """Install, and return the seconds from then until the answer."""
    make_environment(folder / "venv", folder / "dependencies")
    install(folder / "venv", f"{wheel}[dev]")
    started = time.monotonic()
    laneway, port = folder / "venv" / "bin" / "laneway", free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LANEWAY_", "PYTHON", "VIRTUAL_ENV"))
    }
    environment |= {"LANEWAY_API_PORT": str(port), "LANEWAY_API_METRICS_PORT": "0"}
    environment |= {"LANEWAY_WORKER_METRICS_PORT": "0"}
    subprocess.run(
        [laneway, "init", "hello"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    with (folder / "terminal").open("wb") as terminal:
        machine = subprocess.Popen(
            [laneway, "dev", "jobs.py"],
            cwd=folder / "hello",
            env=environment,
            stdout=terminal,
            stderr=terminal,
        )
    try:
        result = first_answer(f"http://127.0.0.1:{port}")
        took = time.monotonic() - started
    finally:
        machine.send_signal(signal.SIGTERM)
        machine.wait(LIMIT_SECONDS)
    if result != {"text": "Hello Ada!"}:
        raise SystemExit(f"the answer was {result!r}")
    return took


def main() -> None:
    """Print the seconds of each round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as folder:
        wheel = build_wheel(Path(folder) / "dist")
        for number in range(rounds):
            (place := Path(folder) / str(number)).mkdir()
            print(
                f"first typed answer {measure(wheel, place):.1f} s after the install (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
