"""`laneway operator`: runs the operator under kopf, for one namespace.

The namespace is the pod's own, or the one of the kubeconfig's current context outside a cluster. `kopf run
--namespace NAME operator/main.py` does the same, under kopf's own command.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import kopf
from lightkube import KubeConfig

from laneway import open_files
from laneway.lanes.commands import EnqueueLimits, WorkerLossLimits
from laneway.operator.app import Operator, Options
from laneway.operator.cluster import connection
from laneway.operator.janitor_host import DisconnectRules
from laneway.operator.kopf_settings import quieten_libraries
from laneway.settings import Settings, load
from laneway.telemetry import log as logs


def build() -> Operator:
    """Configure logging and build the operator from this process's settings. Call it in the event loop."""
    settings = load()
    open_files.require()
    logs.configure("operator", settings.log_level)
    if settings.log_level != "DEBUG":
        quieten_libraries()
    return Operator(_options(settings), connection())


def namespace() -> str:
    """The namespace that the operator serves."""
    if given := os.environ.get("POD_NAMESPACE"):
        return given
    config = KubeConfig.from_env().get()
    return config.namespace if config else "default"


def main() -> None:
    """Run until SIGTERM or SIGINT. Exits with status 2 if a setting is wrong."""
    load()  # before kopf starts, so that a wrong setting ends the program at once
    open_files.require()
    _register_handlers()
    # asyncio's own event loop, not uvloop, which kopf's command prefers: after refused connections an operator on uvloop 0.23
    # could open no connection for up to a minute, neither to the API server nor to Redis.
    kopf.run(standalone=True, namespaces=[namespace()])


def handlers_file() -> Path:
    """The file with kopf's decorators: beside this module in an installed package, in `operator/` of a checkout."""
    installed = Path(__file__).with_name("main.py")
    return installed if installed.exists() else Path(__file__).resolve().parents[3] / "operator" / "main.py"


def _register_handlers() -> None:
    """Import the file with kopf's decorators, which register themselves."""
    spec = importlib.util.spec_from_file_location("laneway_operator_handlers", handlers_file())
    if spec is None or spec.loader is None:
        raise ImportError(f"{handlers_file()} cannot be imported")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _options(settings: Settings) -> Options:
    return Options(
        name=os.environ.get("POD_NAME") or socket.gethostname(),
        namespace=namespace(),
        redis_url=settings.redis_url,
        key_prefix=settings.key_prefix,
        mongo_url=settings.mongo_url,
        mongo_database=settings.mongo_database,
        history_days=settings.history_days,
        limits=EnqueueLimits.of(settings),
        losses=WorkerLossLimits(
            settings.max_worker_losses, settings.backoff_seconds, settings.backoff_max_seconds
        ),
        disconnect=DisconnectRules(settings.disconnect_grace_seconds, settings.disconnect_policy),
        janitor_interval_seconds=settings.janitor_interval_seconds,
        shutdown_grace_seconds=settings.shutdown_grace_seconds,
        worker_metrics_port=settings.worker_metrics_port,
        health_port=settings.operator_health_port,
        metrics_port=settings.operator_metrics_port,
        log_level=settings.log_level,
    )


if __name__ == "__main__":
    main()
