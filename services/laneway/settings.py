"""Every setting of the system: one class, read from `LANEWAY_*` environment variables and a `.env` file.

Only the roots (API, worker, operator, `laneway dev`) build it, with `load()`; everything below takes plain values.
The table in the README comes from here: `python -m laneway.settings --markdown`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "LANEWAY_"
MIN_SECRET_BYTES = 32
"""HMAC-SHA256 signs with 32 bytes; a shorter key is weaker than the signature (RFC 7518, section 3.2)."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _cpus() -> int:
    """Processors this process may use; a container's CPU quota is not visible here, so the chart sets the number."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """What can be set. An empty variable counts as not set; the environment wins over `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    # -- servers ------------------------------------------------------------------------------------------------

    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False)
    """Redis or Valkey, where all that is live is kept: `redis://`, `rediss://` (TLS) or `unix://`.
    `make run` starts an embedded Valkey when this is not set."""

    mongo_url: str = Field("mongodb://127.0.0.1:27017", repr=False)
    """MongoDB, where users and finished requests are kept: `mongodb://` or `mongodb+srv://`.
    `make run` starts an embedded server when this is not set."""

    mongo_database: str = Field("laneway", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Name of the MongoDB database."""

    mongo_timeout_seconds: Seconds = 0.9
    """How long the API waits for MongoDB before it answers 503. Raise it for a server far away. Time limits in the URL
    (`timeoutMS`, `serverSelectionTimeoutMS` and so on) win."""

    key_prefix: str = Field("laneway", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """First part of every Redis key, so that several systems can share one server. No braces or colons: the prefix
    stands inside a hash tag."""

    # -- API ----------------------------------------------------------------------------------------------------

    api_host: str = "127.0.0.1"
    """Address the API listens on. Loopback by default, so that a first try is not open to the network; the image
    sets `0.0.0.0`."""

    api_port: Port = 8000
    """TCP port of the API."""

    api_processes: int = Field(2, ge=1, le=256)
    """API processes behind the one port. One is enough for some thousand requests a second; two keep answering
    while one is restarted."""

    jwt_secret: SecretStr | None = None
    """Key that signs tokens, at least 32 bytes. The API does not start without it. `make run` makes one once and keeps
    it in the data directory."""

    jwt_key_id: str = Field("1", min_length=1, max_length=64)
    """Name (`kid`) that new tokens carry for `LANEWAY_JWT_SECRET`. Change it with the secret."""

    jwt_previous_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(default_factory=dict)
    """Keys that still verify and no longer sign, as JSON `{"<key id>": "<secret>"}`. Keep the old key here for
    `LANEWAY_TOKEN_SECONDS` after a rotation."""

    token_seconds: int = Field(3600, ge=1)
    """How long a token is valid. An hour bounds what a stolen one is worth; a revoked token is refused at once in any
    case."""

    admin_username: str | None = None
    """Name of a first administrator, made when the API starts unless the name exists. Needs `LANEWAY_ADMIN_PASSWORD`."""

    admin_password: SecretStr | None = None
    """Password of that first administrator."""

    reserved_usernames: str = "admin,administrator,root,system,operator,laneway,support,security"
    """Usernames that nobody can register, separated by commas. `LANEWAY_ADMIN_USERNAME` may be one of them."""

    argon2_parallel: int = Field(2, ge=1, le=64)
    """Passwords hashed at once by one API process. Each takes some 20 to 50 ms of a processor and 64 MiB; more than the
    processors would only cost memory."""

    request_max_bytes: int = Field(262_144, ge=1, le=12_000_000)
    """Largest request payload, in bytes of JSON. Payloads are live in Redis; larger things belong in an object store and
    their address in the request. 12 MB at most: history keeps a job in one MongoDB document, which may have 16 MB."""

    batch_max: int = Field(1000, ge=1, le=10_000)
    """Most requests in one `POST /api/enqueue/batch`: they are accepted by one script, during which Redis serves nobody
    else."""

    rate_per_second: float = Field(0, ge=0, allow_inf_nan=False)
    """Requests a user may enqueue per second, over all API processes; 0 turns the limit off. A batch is taken whole, and what it has
    beyond is waited for afterwards."""

    idempotency_seconds: int = Field(86_400, ge=1)
    """How long an `Idempotency-Key` is remembered. A day covers a client that retries overnight."""

    # -- lanes --------------------------------------------------------------------------------------------------

    lane_concurrency: int = Field(5, ge=1, le=100)
    """Slots of a lane: how many of a user's jobs may be in flight at once; 1 means strictly one after another."""

    lane_length: int = Field(100_000, ge=1)
    """Most jobs in one lane. When it is full, enqueue answers 429: one user must not fill the memory of all."""

    # -- worker -------------------------------------------------------------------------------------------------

    handlers: str = "laneway.handlers.demo"
    """Python modules with handlers, separated by commas."""

    worker_processes: int = Field(default_factory=_cpus, ge=1, le=1024)
    """Pool processes of one worker. The number of processors by default: plain handlers run one at a time in each."""

    async_jobs: int = Field(100, ge=1, le=10_000)
    """Async handlers that one pool process runs at once."""

    result_max_bytes: int = Field(1_048_576, ge=1)
    """Largest result of a handler, in bytes of JSON; a larger one fails the job. History keeps it in one MongoDB
    document, which may have 16 MB."""

    lease_seconds: Seconds = 30.0
    """How long a worker's claim on a job lasts without renewal: how long a dead worker's jobs wait to be run again. It is
    renewed three times within that time, so it may not be shorter than a pause of the worker's host."""

    max_attempts: int = Field(3, ge=1, le=100)
    """Times that a job is started before it fails for good; a handler can set its own."""

    backoff_seconds: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Wait before the second attempt; doubled for each further one."""

    backoff_max_seconds: float = Field(300.0, ge=0, allow_inf_nan=False)
    """Longest wait between two attempts."""

    time_limit_seconds: float = Field(0, ge=0, allow_inf_nan=False)
    """Time after which a running job is ended by force (hard limit) and counts as a failed attempt; 0 sets none, since
    a job may run for hours. A handler can set its own."""

    turn_seconds: Seconds = 60.0
    """How long one turn may serve jobs before it gives its process back to Celery."""

    shutdown_grace_seconds: float = Field(25.0, ge=0, allow_inf_nan=False)
    """How long a stopping worker or API process may finish what it does. Below the 30 s that Kubernetes grants by
    default; the chart derives the pod's grace period from it."""

    worker_metrics_host: str = "127.0.0.1"
    """Address of the worker's metrics and health port. The image sets `0.0.0.0`, where Prometheus, the kubelet and the
    operator ask from outside the pod."""

    worker_metrics_port: int = Field(9101, ge=0, le=65535)
    """Port of the worker's metrics and health endpoints; 0 turns them off."""

    # -- operator -----------------------------------------------------------------------------------------------

    operator_metrics_port: int = Field(9102, ge=0, le=65535)
    """Port of the operator's metrics; 0 turns them off."""

    operator_health_port: Port = 8080
    """Port where the operator tells the kubelet whether it is alive."""

    # -- janitor, presence and history --------------------------------------------------------------------------

    janitor: bool = True
    """Whether the worker runs the janitor. The chart turns it off, since the operator runs it there; two at once do no
    harm."""

    janitor_interval_seconds: Seconds = 1.0
    """Time between two rounds of the janitor. A missing turn is repaired within two rounds."""

    heartbeat_seconds: Seconds = 10.0
    """How often an open connection renews its user's presence in Redis."""

    disconnect_grace_seconds: float = Field(60.0, ge=0, allow_inf_nan=False)
    """How long a user whose last connection closed may take to come back before the lane is emptied. A minute outlasts
    the restart of an API pod."""

    disconnect_policy: Literal["purge", "drain"] = "purge"
    """What happens to the lane of a disconnected user: `purge` cancels what has not started, `drain` still processes
    everything."""

    history_backlog: int = Field(200_000, ge=1)
    """Finished jobs that may wait in Redis while MongoDB is away; beyond it enqueue answers 503. At 1 kB a job it is
    200 MB."""

    history_days: int = Field(0, ge=0, le=36_500)
    """Days that finished requests are kept in MongoDB; 0 keeps them for ever."""

    # -- one machine, logs, demo --------------------------------------------------------------------------------

    data_dir: Path = Path("data")
    """Where `make run` keeps the embedded servers' data and the token secret."""

    log_level: LogLevel = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`. Job events are `INFO`, retries and failures `WARNING`."""

    log_file: Path | None = None
    """File that `laneway dev` writes all log lines to, with rotation; not set means `logs/queue_system.log`. The API,
    the worker and the operator write to standard output only."""

    demo_faults: bool = False
    """Whether the demo handler `crash`, which kills its own process, exists."""

    demo_folder: Path | None = None
    """Folder whose files the demo handler `wordcount` may read by `path`; not set means none."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("jwt_previous_keys", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('must be JSON: {"<key id>": "<secret>"}') from None

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str) -> str:
        if not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("mongo_url")
    @classmethod
    def _mongo_scheme(cls, value: str) -> str:
        if not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must begin with mongodb:// or mongodb+srv://")
        return value

    @field_validator("handlers")
    @classmethod
    def _modules(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
                raise ValueError(f"{name!r} is no module name; give modules separated by commas")
        return ",".join(names)

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if self.jwt_key_id in self.jwt_previous_keys:
            raise ValueError(
                f"{PREFIX}JWT_PREVIOUS_KEYS: holds {PREFIX}JWT_KEY_ID, the id of the key that signs; give the new key a new id"
            )
        for key_id, secret in self.jwt_previous_keys.items():
            if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
                raise ValueError(
                    f"{PREFIX}JWT_PREVIOUS_KEYS: key {key_id!r} must have at least {MIN_SECRET_BYTES} bytes"
                )
        if (self.admin_username is None) != (self.admin_password is None):
            raise ValueError(f"{PREFIX}ADMIN_USERNAME and {PREFIX}ADMIN_PASSWORD: set both or neither")
        if self.operator_metrics_port == self.operator_health_port:
            raise ValueError(
                f"{PREFIX}OPERATOR_METRICS_PORT and {PREFIX}OPERATOR_HEALTH_PORT: one process listens on both, set them apart"
            )
        if self.backoff_max_seconds < self.backoff_seconds:
            raise ValueError(f"{PREFIX}BACKOFF_MAX_SECONDS: must not be less than {PREFIX}BACKOFF_SECONDS")
        return self

    @property
    def reserved_names(self) -> list[str]:
        """The names of `reserved_usernames`."""
        return [name for name in map(str.strip, self.reserved_usernames.split(",")) if name]

    def handler_modules(self) -> list[str]:
        """The modules of `handlers`, in order."""
        return self.handlers.split(",")


def variable(field: str) -> str:
    """The environment variable of a field: `api_port` -> `LANEWAY_API_PORT`."""
    return PREFIX + field.upper()


def problems(error: ValidationError) -> list[str]:
    """One line for each wrong setting, by the variable's name; never its value, which may be a secret."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        message = item["msg"].removeprefix("Value error, ")
        name = ".".join([variable(str(item["loc"][0])), *map(str, item["loc"][1:])]) if item["loc"] else ""
        lines.append(f"{name}: {message}" if name else message)
    return lines


def load() -> Settings:
    """The settings of this process; when one is wrong, says which and exits with status 2."""
    try:
        return Settings()
    except ValidationError as error:
        sys.stderr.writelines(f"wrong setting: {line}\n" for line in problems(error))
        raise SystemExit(2) from None


def markdown() -> str:
    """The table of all settings, for the README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if field.default_factory is _cpus:
            default = "number of processors"
        elif field.default in (None, "") or field.default_factory is not None:
            default = "none"
        else:
            default = f"`{field.default}`"
        meaning = " ".join((field.description or "").split())
        rows.append(f"| `{variable(name)}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--markdown"]:
        sys.exit("usage: python -m laneway.settings --markdown")
    sys.stdout.write(markdown())
