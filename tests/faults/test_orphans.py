"""A worker loses its parent on a machine where nobody ends the processes it leaves behind.

They finish their jobs and keep the metrics port meanwhile. The next worker starts to work at once all the same.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from pathlib import Path

import orjson
import pytest

from chaos.event_times import handler_starts
from chaos.system.programs import Worker, wait_for
from chaos.system.system import System, get
from laneway.dev import embedded
from laneway.lanes.commands import Enqueue
from laneway.lanes.keys import Keys
from laneway.lanes.model import NewJob
from laneway.lanes.store import Lanes, connect

GRACE_SECONDS = 15
WORKS_SECONDS = 12.0
"""Far below the grace time, during which the port is taken."""


@pytest.mark.usefixtures("tools")
def test_a_worker_starts_beside_the_remains_of_the_one_before(tmp_path: Path) -> None:
    settings = {"shutdown_grace_seconds": GRACE_SECONDS}
    one = System(tmp_path, apis=0, workers=0, proxied=False, settings=settings)
    with one.running() as system, connect(system.redis.url) as client:
        lanes, started, port = (
            Lanes(client, Keys("laneway")),
            handler_starts(system.records),
            embedded.free_port(),
        )

        def enqueue(user: str, ms: int) -> None:
            request = orjson.dumps({"tag": user, "ms": ms})
            lanes.run(Enqueue(user, [NewJob(secrets.token_hex(6), "wait", request, 3)]))

        first, second = (
            Worker(name, system.environment(name), tmp_path, processes=1, port=port)
            for name in ("first", "second")
        )
        try:
            first.start()
            enqueue("ann", GRACE_SECONDS * 3000)
            wait_for(lambda: len(started.after(0)) == 1, 30, "the long job starts")
            os.kill(first.pid, signal.SIGKILL)
            begun = time.monotonic()
            second.start()
            enqueue("bob", 1)
            wait_for(lambda: len(started.after(0)) == 2, WORKS_SECONDS, "the next worker works")
            assert first.pids(), "the first worker left nothing behind, so this test proves nothing"
            print(f"first job of the next worker after {time.monotonic() - begun:.1f} s")
            wait_for(
                lambda: not first.pids() and get(f"http://127.0.0.1:{port}/healthz")[0] == 200,
                3 * GRACE_SECONDS,
                "the next worker has the port",
            )
        finally:
            first.kill()
            second.kill()
