"""gunicorn with uvicorn workers, and how they end.

SIGTERM: readiness turns 503 at once and answers carry `Connection: close`, so that load balancers and clients go elsewhere, while everything is
still served; after DRAIN_SECONDS, or when no connection is open any more, nothing new is accepted, live connections are closed with
1012 (restart) and what is under way is finished. SIGINT and SIGQUIT skip the first part.
"""

from __future__ import annotations

import logging
import signal
import time
from types import FrameType
from typing import Any, ClassVar

import uvicorn
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from prometheus_client.multiprocess import mark_process_dead
from uvicorn_worker import UvicornWorker

from laneway.api.app import create_app
from laneway.api.live import SERVER_STOPS
from laneway.api.protocol import LimitedProtocol
from laneway.api.system import System
from laneway.parent import end_with_parent
from laneway.settings import Settings
from laneway.telemetry.log import logging_config

DRAIN_SECONDS = 2.0
KEEPALIVE_SECONDS = 75
"""Longer than the minute after which load balancers close an idle connection: the one who closes first must not be us."""
SILENT_SECONDS = 60
"""A worker whose event loop stands still for so long is replaced."""
LIVE_MESSAGE_BYTES = 4096
"""Clients have nothing to say on a live connection."""


class DrainingServer(uvicorn.Server):
    """One worker's server."""

    _drain_until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self.started and not self.should_exit:
            if self._drain_until is None:
                self._drain_until = time.monotonic() + DRAIN_SECONDS
                self._system.draining = True
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drain_until is not None and (
            time.monotonic() >= self._drain_until or not self.server_state.connections
        ):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        self._system.draining = True
        self._system.live.close_all(SERVER_STOPS)
        await super().shutdown(sockets)

    @property
    def _system(self) -> System:
        system: System = self.lifespan.state["system"]
        return system


class Worker(UvicornWorker):  # type: ignore[misc]
    """gunicorn's worker process."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": LimitedProtocol,
        "ws": "websockets-sansio",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "ws_max_size": LIVE_MESSAGE_BYTES,
    }

    def init_process(self) -> None:
        end_with_parent(
            signal.SIGTERM, self.ppid
        )  # else it would live on, and hold the port, when its parent is killed
        super().init_process()

    async def _serve(self) -> None:
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self.config.app = self.wsgi
        self.config.timeout_graceful_shutdown = max(1, int(self.cfg.graceful_timeout - DRAIN_SECONDS))
        server = DrainingServer(self.config)
        signal.signal(signal.SIGQUIT, server.handle_exit)
        await server.serve(sockets=self.sockets)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's parent process. `run()` serves until it is told to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
        options = {
            "bind": f"{host}:{settings.api_port}",
            "workers": settings.api_processes,
            "worker_class": Worker,
            "preload_app": True,  # wrong handlers stop the start, and memory is shared
            "proc_name": "laneway-api",
            "timeout": SILENT_SECONDS,
            "graceful_timeout": max(1, int(settings.shutdown_grace_seconds)),
            "keepalive": KEEPALIVE_SECONDS,
            "logconfig_dict": logging_config("api", settings.log_level),
            "child_exit": _forget,
            "control_socket_disable": True,  # since gunicorn 25; a read-only file system has no place for it
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self._settings)


def _is_news(record: logging.LogRecord) -> bool:
    """Uvicorn 0.54 logs an error for every WebSocket that is turned away with an answer of ours (401, 429)."""
    return record.msg != "ASGI callable returned without completing handshake."


def _forget(_server: object, worker: UvicornWorker) -> None:
    """What a dead worker counted stays; its gauges (connections) go."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
