"""The program `laneway dev`."""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO

from laneway.dev import embedded
from laneway.dev.output import LogFile, Output, Terminal
from laneway.dev.supervisor import Child, StartFailed, Supervisor
from laneway.settings import Settings, load

LOG_FILE = Path("logs/queue_system.log")
SECRET_FILE = "jwt_secret"  # noqa: S105 - a name
LOCK_FILE = "lock"
STOP_MARGIN_SECONDS = 15.0
"""What API and worker may take beyond the grace time before they are killed: they have deadlines of their own."""

TRY_IT = """
Laneway is up: {url}   (OpenAPI: {url}/docs, logs: {log})
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


def main() -> None:
    """Run until SIGINT, SIGTERM or (unless under nohup) SIGHUP. Exits with 1 and a clear message when it cannot start."""
    settings = load()
    try:
        with _lock(settings.data_dir):
            sys.exit(_run(settings))
    except (embedded.EmbeddedError, StartFailed, CannotStart) as error:
        sys.exit(f"laneway dev: {error}")


class CannotStart(RuntimeError):
    """Something on this machine is in the way; the message says what to do."""


def _run(settings: Settings) -> int:
    _check_ports(settings)
    log_path = settings.log_file or LOG_FILE
    with closing(_log_file(log_path)) as file:
        output = Output(file, Terminal())
        supervisor = Supervisor(output)
        servers, environment = _servers(settings)
        programs = [
            _program("api", environment, settings.shutdown_grace_seconds),
            _program("worker", environment, settings.shutdown_grace_seconds),
        ]
        children = [Child(server.name, server.spawn, embedded.STOP_SECONDS) for server in servers]
        try:
            _start(supervisor, children, lambda: all(server.ready() for server in servers))
            if _start(supervisor, programs, lambda: _ready(settings)):
                output.log("info", "ready", url=_url(settings))
                output.terminal.say(TRY_IT.format(url=_url(settings), log=log_path))
                supervisor.keep_running()
        except StartFailed as error:
            raise StartFailed(f"{error}; see {log_path}") from None
        finally:
            output.log("info", "stopping")
            for program in programs:
                supervisor.stop([program])
            supervisor.stop(children)
            output.log("info", "stopped")
    return 0


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
    """The servers that are not given, and the environment of API and worker."""
    servers = []
    environment = dict(os.environ) | {"LANEWAY_DATA_DIR": str(settings.data_dir)}
    if "redis_url" not in settings.model_fields_set:
        port = embedded.free_port()
        servers.append(embedded.valkey_server(settings.data_dir / "valkey", appendfsync="always", port=port))
        environment["LANEWAY_REDIS_URL"] = servers[-1].url
    if "mongo_url" not in settings.model_fields_set:
        servers.append(embedded.mongo_server(settings.data_dir / "mongo", port=embedded.free_port()))
        environment["LANEWAY_MONGO_URL"] = servers[-1].url
    if settings.jwt_secret is None:
        environment["LANEWAY_JWT_SECRET"] = _secret(settings.data_dir / SECRET_FILE)
    return servers, environment


def _program(name: str, environment: dict[str, str], grace_seconds: float) -> Child:
    argv = [sys.executable, "-m", f"laneway.{name}"]
    return Child(
        name,
        lambda output: embedded.spawn(argv, output=output, env=environment),
        grace_seconds + STOP_MARGIN_SECONDS,
    )


def _secret(path: Path) -> str:
    """Made once, so that tokens outlive a restart; readable by this user alone."""
    if not path.exists():
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)  # whole or not at all, whenever the power goes
    return path.read_text()


def _lock(data_dir: Path) -> IO[str]:
    """Held while this process lives; raises CannotStart when another one has the data directory."""
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


def _check_ports(settings: Settings) -> None:
    ports = [("LANEWAY_API_PORT", settings.api_host, settings.api_port)]
    if settings.worker_metrics_port:
        ports.append(
            ("LANEWAY_WORKER_METRICS_PORT", settings.worker_metrics_host, settings.worker_metrics_port)
        )
    if len(ports) > 1 and ports[0][2] == ports[1][2] and _overlap(ports[0][1], ports[1][1]):
        raise CannotStart(
            f"port {ports[0][2]} is set twice: {ports[0][0]} and {ports[1][0]}; set one of them to another"
        )
    for variable, host, port in ports:
        embedded.reserve_port(port)  # no embedded server gets it before our programs listen
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
                raise CannotStart(f"port {port} {why}; set {variable} to another") from error


def _overlap(one: str, other: str) -> bool:
    everywhere = {"0.0.0.0", "", "::"}
    return one == other or one in everywhere or other in everywhere


def _ready(settings: Settings) -> bool:
    """Whether the API can serve and the worker has processes."""
    api = _answers(_reachable(settings.api_host), settings.api_port, "/readyz")
    worker = not settings.worker_metrics_port or _answers(
        _reachable(settings.worker_metrics_host), settings.worker_metrics_port, "/healthz"
    )
    return api and worker


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _url(settings: Settings) -> str:
    host = _reachable(settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"
