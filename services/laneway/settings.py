"""All settings: one class, read from `LANEWAY_*` environment variables and a `.env` file.

Only the programs' entry points build it, with `load()`; everything below them takes plain values. `make docs` writes the
table in the README from it. More than 250 lines, because it is one list.
"""

from __future__ import annotations

import json
import os
import re
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from laneway import redis_address
from laneway.processors import usable_processors
from laneway.url_password import with_password

PREFIX = "LANEWAY_"
MIN_SECRET_BYTES = 32
"""HMAC-SHA256 signs with 32 bytes; a shorter key is weaker than the signature (RFC 7518, section 3.2)."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What can be set. An empty variable counts as not set, the environment wins over `.env`, and line feeds at the end of
    a value are dropped: a Secret that was made from a file has one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    # -- servers ------------------------------------------------------------------------------------------------

    redis_password: SecretStr | None = None
    """Password of Redis, if `LANEWAY_REDIS_URL` has none. Unlike there, its characters need no escaping."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False, validate_default=True)
    """Redis or Valkey, which holds what is live: `redis://:PASSWORD@HOST:PORT/DB`, `rediss://...` for TLS or
    `unix:///PATH?db=DB`. With TLS the certificate is verified; `?ssl_ca_certs=FILE` names a CA of your own.
    `laneway dev` starts an embedded Valkey if this is not set."""

    mongo_password: SecretStr | None = None
    """Password of MongoDB, if `LANEWAY_MONGO_URL` has only a user. Unlike there, its characters need no escaping."""

    mongo_url: str = Field("mongodb://127.0.0.1:27017", repr=False, validate_default=True)
    """MongoDB, which stores users and finished requests: `mongodb://` or `mongodb+srv://`.
    `laneway dev` starts an embedded server if this is not set."""

    mongo_database: str = Field("laneway", pattern=r"^[A-Za-z0-9_-]{1,63}$")
    """Name of the MongoDB database."""

    mongo_timeout_seconds: Seconds = 0.9
    """Seconds that the API waits for MongoDB before it answers 503. Raise it for a distant server. Time limits in the URL
    (`timeoutMS`, `serverSelectionTimeoutMS` and so on) win."""

    key_prefix: str = Field("laneway", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """First part of every Redis key, so that several systems can share one server. It stands inside a hash tag, so it has
    no braces or colons."""

    # -- API ----------------------------------------------------------------------------------------------------

    api_host: str = "127.0.0.1"
    """Address that the API listens on. The default, loopback, keeps a first try off the network; the image sets
    `::`, which means every address, IPv6 and IPv4."""

    api_port: Port = 8000
    """TCP port of the API."""

    api_metrics_port: int = Field(9103, ge=0, le=65535)
    """Port of the API's metrics, on the same address; 0 turns them off. Nobody but Prometheus needs to reach it."""

    root_path: str = Field("", pattern=r"^(/\.*[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$")
    """First part of all paths when the API stands behind a proxy with a path prefix, for example `/laneway`. The proxy may
    strip it or not."""

    keep_alive_seconds: int = Field(75, ge=1)
    """How long an idle connection stays open. It must be longer than the idle time of the load balancer in front (mostly 60
    s, some 350 or more): if the server closes first, a request on its way is lost."""

    api_processes: int = Field(2, ge=1, le=256)
    """API processes behind the one port. One serves a few thousand requests a second; with two, one answers while the
    other restarts."""

    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of proxies whose X-Forwarded-For header gives the client's address, separated by commas; `*`
    trusts every one. Without it all clients behind a proxy share the limits of one address. Their X-Forwarded-Prefix is the
    path prefix, unless `LANEWAY_ROOT_PATH` is set."""

    cors_origins: str = ""
    """Origins of web pages that may call the API from a browser, separated by commas, for example
    `https://app.example.com`; `*` allows all. By default only the API's own dashboard may."""

    jwt_secret: SecretStr | None = None
    """Key that signs tokens, at least 32 bytes. The API does not start without it. `laneway dev` generates one and keeps
    it in the data directory."""

    jwt_key_id: str = Field("1", min_length=1, max_length=64)
    """Name (`kid`) of `LANEWAY_JWT_SECRET` in new tokens. Change it together with the secret."""

    jwt_previous_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(default_factory=dict)
    """Keys that verify tokens but no longer sign them, as JSON `{"<key id>": "<secret>"}`. Keep an old key here for
    `LANEWAY_TOKEN_SECONDS` after a rotation."""

    token_seconds: int = Field(3600, ge=1)
    """Seconds that a token is valid. An hour limits the damage of a stolen one. A revoked token is refused at once."""

    admin_username: str | None = None
    """Name of a first administrator, who is registered when the API starts unless the user exists. Needs
    `LANEWAY_ADMIN_PASSWORD`."""

    admin_password: SecretStr | None = None
    """Password of that first administrator."""

    registration: Literal["open", "closed", "invitation"] = "open"
    """Who may register: `open` for everybody, `closed` for nobody, `invitation` for whoever has an invitation, which an
    administrator makes with `POST /api/admin/invitations`."""

    registrations_per_minute: float = Field(60, ge=0, allow_inf_nan=False)
    """Registrations that one API process accepts from one address in a minute; 0 turns the limit off."""

    reserved_usernames: str = "admin,administrator,root,system,operator,laneway,support,security"
    """Usernames that nobody can register, separated by commas. `LANEWAY_ADMIN_USERNAME` may be one of them."""

    oidc_issuer: str = ""
    """Address of an OpenID Connect issuer whose users may log in, for example `https://login.example.com/realms/main`. It must
    begin with `https://`, unless it is on this machine. By default only passwords log in."""

    oidc_client_id: str = ""
    """Id that the issuer has given to Laneway. The dashboard logs in with it; without it only tokens of programs are
    accepted."""

    oidc_client_secret: SecretStr | None = None
    """Secret that belongs to that id. A public client, which the dashboard is by default, has none."""

    oidc_audience: str = ""
    """Audience (`aud`) that the issuer's tokens of programs must have; the default is `LANEWAY_OIDC_CLIENT_ID`."""

    oidc_scopes: str = Field("openid", pattern=r"^[!-~]+( [!-~]+)*$")
    """Scopes that the dashboard asks for, separated by blanks. `LANEWAY_OIDC_USER_CLAIM` and `LANEWAY_OIDC_ADMIN_CLAIM` may
    need more than `openid`: `profile`, `email` or `groups`, say."""

    oidc_user_claim: str = Field("sub", min_length=1)
    """Claim that names a new user. `sub` never changes. Choose no claim that users can set themselves: whoever takes a name first
    keeps it."""

    oidc_user_prefix: str = Field("oidc.", pattern=r"^(-|[a-z0-9][a-z0-9._-]{0,31})$")
    """How the names of the issuer's users begin. Nobody can register such a name. `-` stands for no prefix: then close the
    registration, or somebody may register a name before the issuer's user comes."""

    oidc_admin_claim: str = ""
    """Claim that makes administrators, for example `groups` or `realm_access.roles`. If it is set, the issuer alone decides."""

    oidc_admin_value: str = ""
    """Value that this claim must have, or have among others."""

    argon2_parallel: int = Field(2, ge=1, le=64)
    """Passwords that one API process hashes at once. Each takes 20 to 50 ms of a processor and 64 MiB, so more of them
    than processors only cost memory."""

    request_max_bytes: int = Field(262_144, ge=1, le=12_000_000)
    """Largest request payload in bytes of JSON. Payloads stay in Redis while the job is live: put larger things into an
    object store and their address into the request. The limit is 12 MB because the history keeps a job in one MongoDB
    document, which may have 16 MB."""

    batch_max: int = Field(1000, ge=1, le=10_000)
    """Maximum number of requests in one `POST /api/enqueue/batch`. One script accepts them all, and Redis serves nobody
    else meanwhile."""

    rate_per_second: float = Field(0, ge=0, allow_inf_nan=False)
    """Requests that a user may enqueue per second, over all API processes; 0 means no limit. A batch is accepted whole,
    and the user then waits until the rate is met again."""

    schedules_max: int = Field(100, ge=0, le=1000)
    """Schedules that one user may have; 0 allows none."""

    webhooks_key: SecretStr | None = None
    """Key from which the secrets of webhooks are derived, at least 32 bytes, for API and worker. Without it there are no webhooks.
    A new key changes the secrets of all webhooks. `laneway dev` generates one and keeps it in the data directory."""

    webhooks_max: int = Field(10, ge=0, le=100)
    """Webhooks that one user may have; 0 allows none."""

    webhooks_allow_private: str = ""
    """Networks that webhooks may go to although they are not public, separated by commas, for example `10.1.0.0/16`. Only to them
    may they go over plain HTTP."""

    idempotency_seconds: int = Field(86_400, ge=1)
    """Seconds that an `Idempotency-Key` is remembered. A day covers a client that retries overnight."""

    # -- lanes --------------------------------------------------------------------------------------------------

    lane_concurrency: int = Field(5, ge=1, le=100)
    """Slots of a lane: how many of a user's jobs may be in flight at once. 1 means strictly one after another."""

    lane_length: int = Field(100_000, ge=1)
    """Maximum number of jobs in one lane. Enqueue answers 429 when a lane is full, because one user must not fill the
    memory that all share."""

    lane_bytes: int = Field(67_108_864, ge=0)
    """Bytes of requests that one lane may hold, estimated by a sample of them; 0 turns the limit off. Beyond it enqueue
    answers 429. Keep it well below Redis's memory: one user must not fill it for all."""

    lane_memory_share: float = Field(0.1, ge=0, le=1)
    """Share of Redis's `maxmemory` that the requests of one lane may take; the smaller of this and `LANEWAY_LANE_BYTES` holds.
    0 turns the limit off, and a Redis without `maxmemory` has none."""

    # -- worker -------------------------------------------------------------------------------------------------

    handlers: str = "laneway.handlers.demo"
    """Python modules with handlers, separated by commas."""

    worker_processes: int = Field(default_factory=usable_processors, ge=1, le=1024)
    """Pool processes of one worker. Each runs one plain handler at a time, so the default is the number of processors, or
    the container's CPU quota if that is less."""

    worker_start_seconds: Seconds = 300.0
    """How long a worker may take until its pool is whole: the modules of `LANEWAY_HANDLERS` may take long to import. Time
    without Redis does not count. The log says what it waits for. After that the worker ends, to be started again."""

    process_max_jobs: int = Field(0, ge=0)
    """Jobs after which a pool process is replaced; 0 means no limit. A remedy for handlers that leak what nobody measures."""

    process_max_memory_bytes: int = Field(0, ge=0)
    """Resident memory in bytes above which a pool process is replaced between jobs; 0 means no limit. Set it below the
    container's limit divided by `LANEWAY_WORKER_PROCESSES`: the kernel would kill a process in the middle of its jobs."""

    async_jobs: int = Field(100, ge=1, le=10_000)
    """Async jobs that one pool process runs at once."""

    result_max_bytes: int = Field(1_048_576, ge=1)
    """Largest result of a handler in bytes of JSON. A larger one fails the job. The history keeps it in one MongoDB
    document, which may have 16 MB."""

    log_tracebacks: bool = True
    """Whether the log of a job, which its user can read, has the traceback of what its handler raised: names of files, lines of
    code, and the messages of the exceptions behind it."""

    lease_seconds: Seconds = 30.0
    """Seconds that a lease lasts without renewal, and so the time that a dead worker's jobs wait before they run again.
    A live worker renews its leases three times as often, so make it longer than any pause of the worker's host."""

    max_attempts: int = Field(3, ge=1, le=100)
    """Attempts before a job fails for good. A handler can set its own number."""

    max_losses: int = Field(3, ge=1, le=100)
    """How often a job may lose the process in which it runs alone, in a row, before it fails for good. Such a loss is no
    attempt: the job may have crashed the process, or somebody may have killed it. What does not run alone has no loss."""

    max_worker_losses: int = Field(20, ge=1, le=1000)
    """How often a job may lose its whole worker (pod, node), in a row, before it fails for good. From the second time on it
    waits for the usual backoff. Rollouts and lost nodes are the usual reason, so the limit only stops a job that takes
    every worker with it."""

    backoff_seconds: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Seconds between the first and the second attempt. Each further wait is twice as long."""

    backoff_max_seconds: float = Field(300.0, ge=0, allow_inf_nan=False)
    """Longest wait between two attempts, in seconds."""

    time_limit_seconds: float = Field(0, ge=0, allow_inf_nan=False)
    """Seconds after which a running job is killed, which counts as a failed attempt (hard limit). 0 means no limit, since
    a job may run for hours. A handler can set its own limit."""

    turn_seconds: Seconds = 60.0
    """Seconds that one turn serves jobs before it returns its process to Celery."""

    shutdown_grace_seconds: float = Field(25.0, ge=0, allow_inf_nan=False)
    """Seconds in which a stopping API process or worker may finish its work. The default is below the 30 s that Kubernetes
    grants; the chart derives the pod's grace period from it."""

    worker_metrics_host: str = "127.0.0.1"
    """Address of the worker's port for metrics and health. The image sets `::`, because Prometheus, the kubelet and
    the operator ask from outside the pod."""

    worker_metrics_port: int = Field(9101, ge=0, le=65535)
    """Port of the worker's metrics and health endpoints. 0 turns them off."""

    # -- operator -----------------------------------------------------------------------------------------------

    operator_metrics_port: int = Field(9102, ge=0, le=65535)
    """Port of the operator's metrics. 0 turns them off."""

    operator_health_port: Port = 8080
    """Port of the operator's health endpoint, for the kubelet."""

    # -- janitor, presence and history --------------------------------------------------------------------------

    janitor: bool = True
    """Whether the worker runs the janitor. The chart turns it off, because there the operator runs it. Two at once do no
    harm."""

    janitor_interval_seconds: Seconds = 1.0
    """Seconds between two passes of the janitor. A missing turn is replaced within two passes."""

    heartbeat_seconds: Seconds = 10.0
    """Seconds between two renewals of a user's presence by an open connection, and between two pings of a WebSocket. A client that
    has vanished is noticed after about three heartbeats."""

    disconnect_grace_seconds: float = Field(60.0, ge=0, allow_inf_nan=False)
    """Seconds that a user whose last connection closed has to return before the lane is emptied. A minute outlasts the
    restart of an API pod."""

    disconnect_policy: Literal["purge", "drain"] = "purge"
    """What happens to the lane of a disconnected user: `purge` cancels the jobs that have not started, `drain` processes
    all of them."""

    history_backlog: int = Field(200_000, ge=1)
    """Finished jobs that may wait in Redis while MongoDB is away. Beyond that enqueue answers 503. The default takes 200 MB
    at 1 kB a job."""

    history_days: int = Field(0, ge=0, le=36_500)
    """Days that finished requests are kept in MongoDB. 0 keeps them for ever."""

    # -- one machine, logs, demo --------------------------------------------------------------------------------

    data_dir: Path = Path("data")
    """Folder in which `laneway dev` keeps the data of the embedded servers, the token secret and the administrator's password."""

    log_level: LogLevel = "INFO"
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`. Job events are `INFO`, retries and failures `WARNING`."""

    log_file: Path | None = None
    """File that `laneway dev` writes all log lines to, with rotation; the default is `logs/queue_system.log`. The API, the
    worker and the operator write to standard output only."""

    dev: bool = False
    """Whether this is `laneway dev`, which sets it: the dashboard offers the race there, and log-in links work."""

    demo_faults: bool = False
    """Whether the demo handler `crash`, which kills its own process, exists."""

    demo_folder: Path | None = None
    """Folder whose files the demo handler `wordcount` may read by `path`. By default it may read none."""

    @field_validator("*", mode="before")
    @classmethod
    def _without_line_feed(cls, value: object) -> object:
        return value.rstrip("\r\n") if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("jwt_previous_keys", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        try:
            keys = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            raise ValueError('must be JSON: {"<key id>": "<secret>"}') from None
        if not isinstance(keys, dict):
            return keys
        return {name: key.rstrip("\r\n") if isinstance(key, str) else key for name, key in keys.items()}

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str, info: ValidationInfo) -> str:
        if password := info.data.get("redis_password"):
            value = with_password(value, password.get_secret_value())
        return redis_address.parse(value).url

    @field_validator("mongo_url")
    @classmethod
    def _mongo_url(cls, value: str, info: ValidationInfo) -> str:
        if not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must begin with mongodb:// or mongodb+srv://")
        password = info.data.get("mongo_password")
        return with_password(value, password.get_secret_value()) if password else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _names(value):
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(
                    f"{origin!r} is no origin; an origin is http(s)://HOST or http(s)://HOST:PORT"
                )
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        address = urlsplit(value)
        local = address.hostname in {"127.0.0.1", "::1", "localhost"}
        if value and (
            not address.hostname
            or address.scheme not in (("https", "http") if local else ("https",))
            or address.query
            or address.fragment
        ):
            raise ValueError("must be https://HOST/PATH, without query and fragment")
        return value

    @field_validator("handlers")
    @classmethod
    def _modules(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
                raise ValueError(f"{name!r} is no module name; give modules separated by commas")
        return ",".join(names)

    @field_validator("webhooks_allow_private")
    @classmethod
    def _networks(cls, value: str) -> str:
        for name in _names(value):
            try:
                ip_network(name)
            except ValueError as error:
                raise ValueError(f"{error}; give networks such as 10.1.0.0/16, separated by commas") from None
        return value

    @field_validator("jwt_secret", "webhooks_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _is_short(value):
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.jwt_key_id in self.jwt_previous_keys:
            raise ValueError(
                f"{PREFIX}JWT_PREVIOUS_KEYS: holds {PREFIX}JWT_KEY_ID, the id of the key that signs; give the new key a new id"
            )
        for key_id, secret in self.jwt_previous_keys.items():
            if _is_short(secret):
                raise ValueError(
                    f"{PREFIX}JWT_PREVIOUS_KEYS: key {key_id!r} must have at least {MIN_SECRET_BYTES} bytes"
                )
        if (self.admin_username is None) != (self.admin_password is None):
            raise ValueError(f"{PREFIX}ADMIN_USERNAME and {PREFIX}ADMIN_PASSWORD: set both or neither")
        if self.oidc_issuer and not (self.oidc_client_id or self.oidc_audience):
            raise ValueError(
                f"{PREFIX}OIDC_CLIENT_ID: is missing; set it, or {PREFIX}OIDC_AUDIENCE if only programs log in by the issuer"
            )
        if "openid" not in self.oidc_scopes.split(" "):
            raise ValueError(f"{PREFIX}OIDC_SCOPES: must have 'openid'")
        if bool(self.oidc_admin_claim) != bool(self.oidc_admin_value):
            raise ValueError(f"{PREFIX}OIDC_ADMIN_CLAIM and {PREFIX}OIDC_ADMIN_VALUE: set both or neither")
        if self.operator_metrics_port == self.operator_health_port:
            raise ValueError(
                f"{PREFIX}OPERATOR_METRICS_PORT and {PREFIX}OPERATOR_HEALTH_PORT: one process listens on both; give them different ports"
            )
        if self.backoff_max_seconds < self.backoff_seconds:
            raise ValueError(f"{PREFIX}BACKOFF_MAX_SECONDS: must not be less than {PREFIX}BACKOFF_SECONDS")
        return self

    @property
    def reserved_names(self) -> list[str]:
        """The names in `reserved_usernames`."""
        return _names(self.reserved_usernames)

    @property
    def reserved_prefix(self) -> str:
        """How the names begin that only the issuer's users have; "" for none."""
        return self.oidc_user_prefix if self.oidc_issuer and self.oidc_user_prefix != "-" else ""

    @property
    def allowed_origins(self) -> list[str]:
        """The origins in `cors_origins`."""
        return _names(self.cors_origins)

    @property
    def webhooks_secret(self) -> str | None:
        """The value of `webhooks_key`."""
        return self.webhooks_key.get_secret_value() if self.webhooks_key else None

    @property
    def webhook_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks in `webhooks_allow_private`."""
        return [ip_network(name) for name in _names(self.webhooks_allow_private)]

    def handler_modules(self) -> list[str]:
        """Return the modules in `handlers`, in order."""
        return self.handlers.split(",")


def _names(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def variable(field: str) -> str:
    """Return the environment variable of a field: `LANEWAY_API_PORT` for `api_port`."""
    return PREFIX + field.upper()


def problems(error: ValidationError) -> list[str]:
    """Return one line for each wrong setting. It names the variable and never the value, which may be a secret."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        message = item["msg"].removeprefix("Value error, ")
        name = ".".join([variable(str(item["loc"][0])), *map(str, item["loc"][1:])]) if item["loc"] else ""
        if _is_quoted(os.environ.get(name, "")):
            message += " (its value stands in quotes, which are part of it: leave them out)"
        lines.append(f"{name}: {message}" if name else message)
    return lines


def _is_quoted(value: str) -> bool:
    """Whether a value is in quotes, as a shell would remove them. Docker's `--env-file` and Kubernetes keep them."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"


def load() -> Settings:
    """Return the settings of this process. Exits with status 2 and names the settings that are wrong."""
    try:
        return Settings()
    except ValidationError as error:
        sys.stderr.writelines(f"wrong setting: {line}\n" for line in problems(error))
        raise SystemExit(2) from None


def _is_short(secret: SecretStr) -> bool:
    return len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES
