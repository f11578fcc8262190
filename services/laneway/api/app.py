"""Builds the app from the settings. What it works with is made when it starts, in its own event loop, and closed when it ends.

It starts whether or not Redis and MongoDB answer: requests that need what is away get 503, and everything works once it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from laneway.api import dashboard, docs, errors, schemas
from laneway.api.front import Front
from laneway.api.intake import Intake
from laneway.api.live import Live
from laneway.api.metrics import LaneSampler
from laneway.api.routers import admin, auth, enqueue, events, health, jobs, queue
from laneway.api.security import Revocations, Tokens
from laneway.api.system import JobLines, System
from laneway.handlers import Spec
from laneway.handlers.loader import load_configured
from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.presence import Presence
from laneway.settings import Settings
from laneway.storage.history_reader import HistoryReader
from laneway.storage.mongo import connect_async as connect_mongo
from laneway.storage.passwords import Passwords, TooManyPasswords
from laneway.storage.users import (
    CannotRegister,
    Role,
    UsernameTaken,
    Users,
    UsersUnavailable,
)
from laneway.telemetry.job_log import JobLog

REDIS_SECONDS = 0.8
"""After so long without an answer it is 503: within one second in all."""
SIDE_CONNECTIONS = 8
"""Connections to Redis beside the lanes': presence, revocations, and one that listens to events."""
ADMIN_RETRY_SECONDS = 2.0
log = structlog.get_logger()


def create_app(settings: Settings) -> FastAPI:
    """Build the application. Exits with status 2 and the reason when a module of handlers cannot be used."""
    types = load_configured(settings).types

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            yield {"system": await _start(settings, types, stack)}

    app = _App(
        title="Queue system",
        summary="A first-in-first-out lane for every user, served in fair rounds.",
        description=events.__doc__ or "",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    for module in (enqueue, jobs, queue, auth, events, admin, health):
        app.include_router(module.router)
    docs.install(app)
    dashboard.install(app)
    errors.install(app)
    return app


class _App(FastAPI):
    """FastAPI with our front before all of its middleware, and our problems in its documentation."""

    def build_middleware_stack(self) -> ASGIApp:
        return Front(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            for operation in (operation for path in schema["paths"].values() for operation in path.values()):
                operation["responses"].pop("422", None)
            parts = schema["components"]["schemas"]
            for unused in ("HTTPValidationError", "ValidationError"):
                parts.pop(unused, None)
            problem = schemas.ProblemReply.model_json_schema(ref_template="#/components/schemas/{model}")
            parts |= problem.pop("$defs") | {"Problem": problem}
        return self.openapi_schema or {}


async def _start(settings: Settings, types: Mapping[str, Spec], stack: AsyncExitStack) -> System:
    keys = Keys(settings.key_prefix)
    lanes_client = connect_async(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    stack.push_async_callback(lanes_client.aclose)
    side = connect_async(settings.redis_url, timeout_seconds=REDIS_SECONDS, max_connections=SIDE_CONNECTIONS)
    stack.push_async_callback(side.aclose)
    mongo = connect_mongo(
        settings.mongo_url, timeout_seconds=settings.mongo_timeout_seconds, appname="laneway-api"
    )
    stack.push_async_callback(mongo.close)
    passwords = Passwords(settings.argon2_parallel)
    stack.callback(passwords.close)
    lanes = AsyncLanes(lanes_client, keys)
    database = mongo[settings.mongo_database]
    presence = Presence(AsyncLanes(side, keys), heartbeat_seconds=settings.heartbeat_seconds)
    revocations = Revocations(side, keys)
    system = System(
        redis=side,
        mongo=database,
        lanes=lanes,
        limits=EnqueueLimits(
            settings.lane_length,
            settings.history_backlog,
            settings.rate_per_second,
            settings.idempotency_seconds,
        ),
        intake=Intake(types, request_max_bytes=settings.request_max_bytes, batch_max=settings.batch_max),
        users=Users(database, passwords, reserved=settings.reserved_names),
        history=HistoryReader(database),
        presence=presence,
        live=Live(side, keys, presence, revocations, heartbeat_seconds=settings.heartbeat_seconds),
        tokens=_tokens(settings),
        revocations=revocations,
        job_lines=JobLines(JobLog("api", settings.log_level)),
        sampler=LaneSampler(lanes),
    )
    _run_beside(stack, system.live.listen())
    _run_beside(stack, system.live.beat())
    if settings.admin_username and settings.admin_password:
        _run_beside(
            stack,
            _first_admin(system.users, settings.admin_username, settings.admin_password.get_secret_value()),
        )
    stack.push_async_callback(system.live.settled)
    return system


def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run it until the app ends."""
    task = asyncio.create_task(work)

    async def end() -> None:
        while not task.done():  # a cancellation that meets a timeout in redis-py may be taken for it
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)

    stack.push_async_callback(end)


def _tokens(settings: Settings) -> Tokens:
    if settings.jwt_secret is None:
        raise ValueError("LANEWAY_JWT_SECRET is not set")
    secrets = {**settings.jwt_previous_keys, settings.jwt_key_id: settings.jwt_secret}
    keys = {key_id: secret.get_secret_value().encode() for key_id, secret in secrets.items()}
    return Tokens(keys, settings.jwt_key_id, seconds=settings.token_seconds)


async def _first_admin(store: Users, name: str, password: str) -> None:
    """Register the administrator that the settings name, as soon as MongoDB answers; one who exists stays as he is."""
    while True:
        try:
            found = await store.find(name)
            if found is None:
                await store.register(name, password, Role.ADMIN)
                log.info("admin_registered", user=name)
            elif found.role is not Role.ADMIN:
                log.warning("admin_is_an_ordinary_user", user=name)
            return
        except UsernameTaken:  # another process was faster
            continue
        except CannotRegister as error:
            log.error("admin_not_registered", user=name, error=str(error))  # noqa: TRY400 - a wrong setting, no bug
            return
        except (UsersUnavailable, TooManyPasswords):
            await asyncio.sleep(ADMIN_RETRY_SECONDS)
