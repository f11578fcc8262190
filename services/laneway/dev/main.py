"""The program `laneway dev`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from laneway import open_files
from laneway.dev import embedded
from laneway.dev.handler_files import modules_of
from laneway.dev.log_file import LogFile
from laneway.dev.log_in_link import VALID_SECONDS, is_loopback, new_code
from laneway.dev.machine import (
    ADMIN_NAME,
    ADMIN_PASSWORD_FILE,
    SECRET_FILE,
    WEBHOOKS_KEY_FILE,
    CannotStart,
    answers,
    check_ports,
    lasting_secret,
    lock,
    reachable,
)
from laneway.dev.output import Output
from laneway.dev.reload import Reload
from laneway.dev.supervisor import Child, StartFailed, Supervisor
from laneway.dev.terminal import Terminal
from laneway.settings import Settings, load

LOG_FILE = Path("logs/queue_system.log")
LOOPBACK = "127.0.0.1"
STOP_MARGIN_SECONDS = 15.0
"""How long API and worker may take beyond their grace time, which they enforce themselves, before they are killed."""

UP = "\nLaneway is up: {url}   (OpenAPI: {url}/docs, logs: {log}, data: {data})"
LINK = "Log in as {user}, once and within {minutes} minutes: {url}/#code={code}"
TRY_IT = """
Try it in another terminal:

  URL={url}
  curl -s $URL/api/register -H 'Content-Type: application/json' -d '{{"username":"alice","password":"correct horse battery"}}'
  TOKEN=$(curl -s $URL/api/login -H 'Content-Type: application/json' \\
    -d '{{"username":"alice","password":"correct horse battery"}}' | sed 's/.*"token":"\\([^"]*\\).*/\\1/')
  curl -s $URL/api/enqueue -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{{"type":"wordcount","request":{{"text":"to be or not to be"}}}}'
  curl -s $URL/api/jobs -H "Authorization: Bearer $TOKEN"

or: make demo. Ctrl-C stops everything and keeps users and jobs; a second one hurries.
"""
TRY_OWN = """
Try it in another terminal:

  export LANEWAY_URL={url}
  laneway register --username alice --password 'correct horse battery'
  laneway login --username alice --password 'correct horse battery'
  laneway types                        # what can be enqueued, and what it takes
  laneway enqueue TYPE JSON --wait

A saved file is served at once. Ctrl-C stops everything and keeps users and jobs; a second one hurries.
"""


def main(files: Sequence[Path] = ()) -> None:
    """Run until SIGINT, SIGTERM or (except under nohup) SIGHUP. Exits with 1 and says why when it cannot start.

    The handlers are those in `files`; without any, those of the settings.
    """
    try:
        if files:
            os.environ["LANEWAY_HANDLERS"] = ",".join(modules_of(files, Path.cwd()))
        settings = load()
        open_files.require(settings.worker_processes)
        with lock(settings.data_dir):
            _run(settings)
    except (embedded.EmbeddedError, StartFailed, CannotStart) as error:
        sys.exit(f"laneway dev: {error}")


def _run(settings: Settings) -> None:
    check_ports(_ports(settings))
    log_path = settings.log_file or LOG_FILE
    with closing(_log_file(log_path)) as file:
        output = Output(file, Terminal())
        supervisor = Supervisor(output)
        servers, environment = _servers(settings)
        children = [Child(server.name, server.spawn, embedded.STOP_SECONDS) for server in servers]
        api, worker = programs = [_program(name, environment, settings) for name in ("api", "worker")]
        try:
            # MongoDB's server takes a second to start, and API and worker take longer than that before they need it.
            _start(supervisor, children, lambda: all(one.ready() for one in servers if one.name != "mongo"))
            if _start(supervisor, programs, lambda: all(one.ready() for one in servers) and _ready(settings)):
                output.log("info", "system_ready", url=_url(settings))
                _greet(settings, environment, output.terminal, log_path)
                with closing(
                    Reload(Path.cwd(), environment, supervisor, output, api=api, worker=worker)
                ) as reload:
                    if _has_own_handlers(settings):
                        reload.start()
                    supervisor.keep_running(reload.step)
        except StartFailed as error:
            raise StartFailed(f"{error}; see {log_path}") from None
        finally:
            output.log("info", "shutdown_started")
            for program in programs:
                supervisor.stop([program])
            supervisor.stop(children)
            output.log("info", "shutdown_finished")


def _greet(settings: Settings, environment: dict[str, str], terminal: Terminal, log_path: Path) -> None:
    """Say where everything is. The link goes to the terminal alone, and into no log."""
    url = _url(settings)
    terminal.say(UP.format(url=url, log=log_path, data=settings.data_dir))
    user = environment["LANEWAY_ADMIN_USERNAME"]
    redis_url = environment.get("LANEWAY_REDIS_URL", settings.redis_url)
    if is_loopback(settings.api_host) and (code := new_code(redis_url, settings.key_prefix, user)):
        terminal.say(LINK.format(user=user, minutes=VALID_SECONDS // 60, url=url, code=code))
    terminal.say((TRY_OWN if _has_own_handlers(settings) else TRY_IT).format(url=url))


def _has_own_handlers(settings: Settings) -> bool:
    """Whether there are handlers that may change while this runs."""
    return any(not name.startswith("laneway.") for name in settings.handler_modules())


def _log_file(path: Path) -> LogFile:
    try:
        return LogFile(path)
    except OSError as error:
        raise CannotStart(
            f"cannot write the log file {path}: {error}; set LANEWAY_LOG_FILE to another"
        ) from error


def _start(supervisor: Supervisor, children: list[Child], ready: Callable[[], bool]) -> bool:
    for child in children:
        supervisor.start(child)
    return supervisor.wait_until_ready(ready)


def _servers(settings: Settings) -> tuple[list[embedded.Embedded], dict[str, str]]:
    """Return the servers that the settings leave to us, and the environment of API and worker."""
    servers = []
    environment = dict(os.environ) | {"LANEWAY_DATA_DIR": str(settings.data_dir), "LANEWAY_DEV": "1"}
    if "redis_url" not in settings.model_fields_set:
        port = embedded.free_port()
        servers.append(embedded.valkey_server(settings.data_dir / "valkey", appendfsync="always", port=port))
        environment["LANEWAY_REDIS_URL"] = servers[-1].url
    if "mongo_url" not in settings.model_fields_set:
        servers.append(embedded.mongo_server(settings.data_dir / "mongo", port=embedded.free_port()))
        environment["LANEWAY_MONGO_URL"] = servers[-1].url
    if settings.jwt_secret is None:
        environment["LANEWAY_JWT_SECRET"] = lasting_secret(settings.data_dir, SECRET_FILE)
    environment["LANEWAY_ADMIN_USERNAME"] = settings.admin_username or ADMIN_NAME
    if settings.admin_password is None:
        environment["LANEWAY_ADMIN_PASSWORD"] = lasting_secret(settings.data_dir, ADMIN_PASSWORD_FILE)
    if settings.webhooks_key is None:
        environment["LANEWAY_WEBHOOKS_KEY"] = lasting_secret(settings.data_dir, WEBHOOKS_KEY_FILE)
    if not settings.webhooks_allow_private and settings.api_host == LOOPBACK:  # receivers on this machine
        environment["LANEWAY_WEBHOOKS_ALLOW_PRIVATE"] = f"{LOOPBACK}/32"
    return servers, environment


def _program(name: str, environment: dict[str, str], settings: Settings) -> Child:
    argv = [sys.executable, "-m", f"laneway.{name}"]
    return Child(
        name,
        lambda output: embedded.spawn(argv, output=output, env=environment),
        settings.shutdown_grace_seconds + STOP_MARGIN_SECONDS,
    )


def _ports(settings: Settings) -> list[tuple[str, str, int]]:
    ports = [("LANEWAY_API_PORT", settings.api_host, settings.api_port)]
    if settings.api_metrics_port:
        ports.append(("LANEWAY_API_METRICS_PORT", settings.api_host, settings.api_metrics_port))
    if settings.worker_metrics_port:
        host, port = settings.worker_metrics_host, settings.worker_metrics_port
        ports.append(("LANEWAY_WORKER_METRICS_PORT", host, port))
    return ports


def _ready(settings: Settings) -> bool:
    """Whether the API and the worker can serve. Without a port for its metrics, the worker is not asked."""
    api = answers(settings.api_host, settings.api_port, "/readyz")
    return api and (
        not settings.worker_metrics_port
        or answers(settings.worker_metrics_host, settings.worker_metrics_port, "/readyz")
    )


def _url(settings: Settings) -> str:
    host = reachable(settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"
