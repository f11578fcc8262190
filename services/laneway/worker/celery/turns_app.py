"""The Celery app of a worker: configured by our settings alone.

Celery reads variables of its own (`CELERY_BROKER_URL`, `CELERY_CONFIG_MODULE`, `CELERY_RESULT_BACKEND`), and its command reads
`APP`, `LOADER`, `BROKER_URL` and others. They are often set for another Celery app of the same team, and would take this worker's
pool to another broker without a word. So the broker's URL is given with each connection, the configuration as an object, and the
worker starts without Celery's command.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection, Queue

from laneway import redis_address
from laneway.compat.celery import PoolOfEndingProcesses
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.settings import Settings
from laneway.worker.celery.pool_maintenance import PoolMaintenance
from laneway.worker.celery.redis_wait import RedisWait
from laneway.worker.celery.turn_message import QUEUE


class TurnsApp(Celery):
    """Celery with one broker, whatever the environment says. Its queue is the list that the scripts push turn messages to."""

    backend_cls = "disabled"

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self.lanes = Lanes(connect(settings.redis_url), keys)
        address = redis_address.parse(settings.redis_url)
        self._broker_url = address.broker_url
        configuration = {
            "broker_use_ssl": address.broker_use_ssl,
            "task_default_queue": QUEUE,
            "task_queues": [
                Queue(QUEUE, no_declare=True)
            ],  # a declaration would write a key that nobody reads
            "task_ignore_result": True,
            "worker_concurrency": settings.worker_processes,
            "worker_prefetch_multiplier": 1,
            "worker_enable_remote_control": False,
            "worker_send_task_events": False,
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
            "worker_proc_alive_timeout": settings.worker_start_seconds,  # start hooks of handlers may take long
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            # Reconnect when Redis refuses BRPOP, which it does while it refuses writes. By default Celery would exit.
            "broker_channel_error_retry": True,
            "broker_transport_options": {
                "global_keyprefix": keys.prefix,
                "socket_keepalive": True,
                "socket_connect_timeout": 5,
                "health_check_interval": 10,
                "ack_emulation": False,  # it writes what a server without memory refuses, and a turn may be lost
            },
        }
        super().__init__("laneway", loader="app", config_source=configuration, set_as_current=True)
        self.steps["worker"].add(PoolMaintenance)
        self.steps["consumer"].add(RedisWait)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Connection:
        """Connect to receive turn messages."""
        connection: Connection = super().connection_for_read(url or self._broker_url, **options)
        return connection

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        """Connect to send messages; a worker sends none."""
        connection: Connection = super().connection_for_write(url or self._broker_url, **options)
        return connection

    def serve(self) -> int:
        """Run the pool until SIGTERM and return the exit code."""
        worker = self.Worker(
            pool_cls=PoolOfEndingProcesses,
            loglevel="WARNING",
            quiet=True,  # no banner among the lines of the log
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        return int(worker.exitcode or 0)
