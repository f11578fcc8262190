"""The API's processes: gunicorn is the parent, uvicorn serves in each worker. And the order in which a worker ends.

SIGTERM: readiness turns 503 at once and answers carry `Connection: close`, so that load balancers and clients go elsewhere
while everything is still served. After DRAIN_SECONDS, or when no connection is open any more, the worker accepts nothing
new, closes live connections with 1012 (restart) and finishes the requests under way. SIGINT and SIGQUIT skip the first part.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from prometheus_client.multiprocess import mark_process_dead
from uvicorn_worker import UvicornWorker

from laneway.api.app import Application, create_app, uvicorn_options
from laneway.api.protocol import UNREAD_HEARTBEATS
from laneway.compat.uvicorn import SignalledServer, is_noise
from laneway.listening import bindable
from laneway.parent import end_with_parent
from laneway.settings import Settings
from laneway.telemetry.log import logging_config

DRAIN_SECONDS = 2.0
SILENT_SECONDS = 60
"""A worker whose event loop stands still for this long is replaced."""
YOUNG_OBJECTS = 10_000
"""New objects between two runs of the garbage collector. With Python's 700 it ran after every dozen requests, in vain."""


class Ending:
    """Ends one worker when a signal says so."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._signals: asyncio.Queue[int] = asyncio.Queue()

    def defer(self, number: int) -> bool:
        """Runs in the signal handler: `run` acts on the signal."""
        self._loop.call_soon_threadsafe(self._signals.put_nowait, number)
        return True

    async def run(self, server: SignalledServer) -> None:
        """Wait for a signal, drain, close the live connections, and let the server end."""
        number = await self._signals.get()
        self._app.drain()
        if number == signal.SIGTERM:
            await self._idle(server)
        self._app.close_live()
        server.should_exit = True

    async def _idle(self, server: SignalledServer) -> None:
        """Until no connection is open, DRAIN_SECONDS have passed, or another signal comes."""
        deadline = self._loop.time() + DRAIN_SECONDS
        while (  # noqa: ASYNC110 - uvicorn has no event for it
            server.server_state.connections and self._signals.empty() and self._loop.time() < deadline
        ):
            await asyncio.sleep(0.05)


class Worker(UvicornWorker):  # type: ignore[misc]
    """gunicorn's worker process. `of` gives it its options."""

    @classmethod
    def of(cls, settings: Settings) -> type[Worker]:
        """Return the class of the workers that serve with these settings: gunicorn gives its workers no options of uvicorn."""
        return type(cls.__name__, (cls,), {"CONFIG_KWARGS": uvicorn_options(settings.heartbeat_seconds)})

    def init_process(self) -> None:
        """Start to serve. The worker ends with its parent, or it would live on and hold the port."""
        end_with_parent(signal.SIGTERM, self.ppid)
        super().init_process()

    def run(self) -> None:
        """Serve until a signal ends it."""
        gc.set_threshold(YOUNG_OBJECTS)
        logger = logging.getLogger("uvicorn.error")
        logger.addFilter(lambda record: not is_noise(record))
        # At DEBUG it has every header of a WebSocket's handshake, the token among them.
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
        self.config.app = self.wsgi
        self.config.headers.append(("keep-alive", f"timeout={self.cfg.keepalive}"))  # clients close in time
        self.config.timeout_graceful_shutdown = max(1, int(self.cfg.graceful_timeout - DRAIN_SECONDS))
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self._serve_to_the_end())

    async def _serve_to_the_end(self) -> None:
        ending = Ending(self.wsgi)
        server = SignalledServer(self.config, ending.defer)
        signal.signal(signal.SIGQUIT, server.handle_exit)
        task = asyncio.create_task(ending.run(server))
        await server.serve(sockets=self.sockets)
        task.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's parent process. `run()` serves until it is told to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options; called by its constructor."""
        settings = self._settings
        host = bindable(settings.api_host)
        host = f"[{host}]" if ":" in host else host
        options = {
            "bind": [f"{host}:{port}" for port in (settings.api_port, settings.api_metrics_port) if port],
            "workers": settings.api_processes,
            "worker_class": Worker.of(settings),
            "preload_app": True,  # a wrong handler module stops the start, and the workers share memory
            "proc_name": "laneway-api",
            "timeout": SILENT_SECONDS,
            "graceful_timeout": max(1, int(settings.shutdown_grace_seconds)),
            "keepalive": settings.keep_alive_seconds,
            "logconfig_dict": logging_config("api", settings.log_level),
            "when_ready": self._limit_unread,
            "child_exit": _remove_gauges,
            "control_socket_disable": True,  # a read-only file system has no place for it
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def _limit_unread(self, arbiter: Any) -> None:
        """Let the kernel close connections whose client reads nothing: accepted sockets inherit the option."""
        for listener in arbiter.LISTENERS:
            limit_unread(listener, UNREAD_HEARTBEATS * self._settings.heartbeat_seconds)

    def load(self) -> Application:
        """Return the app that the workers serve; called before they are forked.

        The collector never visits what is there by then: that would cost time, and copy memory that the workers share.
        """
        app = create_app(self._settings)
        gc.collect()
        gc.freeze()
        gc.enable()
        return app


def limit_unread(listener: Any, seconds: float) -> None:
    """Close accepted connections when what was sent stays unacknowledged, or unsent because the client does not read."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))  # tcp(7)


def _remove_gauges(_server: object, worker: UvicornWorker) -> None:
    """A dead worker's counters stay, its gauges (open connections) go."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
