"""Opens an API process's system from the settings, and closes it in reverse order.

It opens whether or not Redis and MongoDB answer: requests that need one that is away get 503, and work once it is back.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx2
from pymongo.asynchronous.database import AsyncDatabase

from laneway.api.callers import Callers
from laneway.api.catalogue import catalogue
from laneway.api.fair_queue import FairQueue
from laneway.api.first_admin import register_first_admin
from laneway.api.intake import Intake
from laneway.api.lane_ranking import LaneRanking
from laneway.api.lane_share import limit_lanes_forever
from laneway.api.live.hub import Hub
from laneway.api.metrics import LaneSampler
from laneway.api.oidc.claims import Meaning
from laneway.api.oidc.log_ins import IssuerLogIns
from laneway.api.oidc.verifier import CLOCK_SKEW_SECONDS, MAX_LIFETIME_SECONDS
from laneway.api.operations.runner import Runner
from laneway.api.registration import Registration
from laneway.api.revocations import Revocations
from laneway.api.store_warnings import watch_store
from laneway.api.system import JobLines, Lifecycle, System
from laneway.api.tokens import Tokens
from laneway.cancellation import cancel
from laneway.handlers import Spec
from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.oidc.provider import ANSWER_SECONDS, Client, Provider
from laneway.presence import Presence
from laneway.settings import Settings
from laneway.storage.activity_reader import ActivityReader
from laneway.storage.activity_writer import AcceptanceCounter
from laneway.storage.api_keys import ApiKeys
from laneway.storage.audit import Audit
from laneway.storage.dead_letters import DeadLetters
from laneway.storage.history_reader import HistoryReader
from laneway.storage.issuer_users import IssuerUsers
from laneway.storage.mongo import Document
from laneway.storage.mongo import connect_async as connect_mongo
from laneway.storage.operations import Operations
from laneway.storage.passwords import WAITING_PER_THREAD, Passwords, TooManyPasswords
from laneway.storage.schedules import Schedules
from laneway.storage.users import Users, canonical
from laneway.storage.webhooks import Webhooks
from laneway.telemetry.job_log import JobLog
from laneway.telemetry.redis_warnings import RedisWarnings
from laneway.webhooks.addresses import Destinations

REDIS_SECONDS = 0.8
"""How long Redis may take to answer: a client gets its 503 within a second."""
OPERATIONS_AT_ONCE = 10
"""How many operations of one user may run at once."""
SIDE_CONNECTIONS = 8
"""Connections to Redis beside the one of the lanes: presence, revocations, and one that listens to events."""


async def open_system(
    settings: Settings, types: Mapping[str, Spec], lifecycle: Lifecycle, stack: AsyncExitStack
) -> System:
    """Open everything on the running event loop. `stack` closes it."""
    servers = _connect(settings, stack)
    system = _assemble(settings, types, lifecycle, servers, stack)
    hub = system.hub
    lifecycle.close_live = hub.close_all
    _run_beside(stack, hub.subscription.run_forever())
    _run_beside(stack, hub.renew_forever())
    stack.push_async_callback(system.acceptances.flush)
    _run_beside(stack, system.acceptances.flush_forever())
    operations = Runner(system)
    system.wake_operations = operations.wake
    _run_beside(stack, operations.run_forever())
    _run_beside(stack, watch_store(servers.side, system.redis_warnings))
    if settings.lane_memory_share:
        _run_beside(stack, limit_lanes_forever(system, settings.lane_memory_share))
    if settings.admin_username and settings.admin_password:
        password = settings.admin_password.get_secret_value()
        _run_beside(stack, register_first_admin(system.users, settings.admin_username, password))
    stack.push_async_callback(hub.drain)
    return system


class _Servers(NamedTuple):
    """The connections to Redis and MongoDB. `side`: for everything but the lanes, which have a connection of their own."""

    lanes: AsyncLanes
    side: AsyncLanes
    database: AsyncDatabase[Document]


def _connect(settings: Settings, stack: AsyncExitStack) -> _Servers:
    keys = Keys(settings.key_prefix)
    lanes_client = connect_async(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    stack.push_async_callback(lanes_client.aclose)
    side_client = connect_async(
        settings.redis_url, timeout_seconds=REDIS_SECONDS, max_connections=SIDE_CONNECTIONS
    )
    stack.push_async_callback(side_client.aclose)
    mongo = connect_mongo(
        settings.mongo_url, timeout_seconds=settings.mongo_timeout_seconds, appname="laneway-api"
    )
    stack.push_async_callback(mongo.close)
    return _Servers(
        AsyncLanes(lanes_client, keys), AsyncLanes(side_client, keys), mongo[settings.mongo_database]
    )


def _assemble(
    settings: Settings,
    types: Mapping[str, Spec],
    lifecycle: Lifecycle,
    servers: _Servers,
    stack: AsyncExitStack,
) -> System:
    """Make the system's parts. Long, because it names every part once."""
    lanes, side, database = servers
    passwords = Passwords(settings.argon2_parallel)
    stack.callback(passwords.close)
    presence = Presence(side, heartbeat_seconds=settings.heartbeat_seconds)
    revocations = Revocations(side.client, side.keys)
    hub = Hub(
        side,
        presence,
        revocations,
        heartbeat_seconds=settings.heartbeat_seconds,
        on_disconnect={
            "policy": settings.disconnect_policy,
            "grace_seconds": settings.disconnect_grace_seconds,
        },
    )
    accounts = Users(
        database, passwords, reserved=settings.reserved_names, reserved_prefix=settings.reserved_prefix
    )
    tokens = _tokens(settings)
    issuer = _issuer(settings, database, revocations, tokens, stack) if settings.oidc_issuer else None
    api_keys = ApiKeys(database)
    dead_letters = DeadLetters(database)
    return System(
        redis=side.client,
        mongo=database,
        lanes=lanes,
        limits=EnqueueLimits.of(settings),
        intake=Intake(types, request_max_bytes=settings.request_max_bytes, batch_max=settings.batch_max),
        types=catalogue(
            types,
            request_max_bytes=settings.request_max_bytes,
            result_max_bytes=settings.result_max_bytes,
        ),
        users=accounts,
        history=HistoryReader(database),
        dead_letters=dead_letters,
        lane_ranking=LaneRanking(lanes, dead_letters),
        activity=ActivityReader(database),
        acceptances=AcceptanceCounter(database),
        presence=presence,
        hub=hub,
        tokens=tokens,
        api_keys=api_keys,
        schedules=Schedules(database, max_per_user=settings.schedules_max),
        operations=Operations(database, max_running=OPERATIONS_AT_ONCE),
        webhooks=Webhooks(database, max_per_user=settings.webhooks_max),
        webhooks_key=settings.webhooks_secret,
        destinations=Destinations(settings.webhook_networks),
        audit=Audit(database),
        issuer=issuer,
        callers=Callers(tokens, api_keys, accounts, issuer.token if issuer else None),
        revocations=revocations,
        registration=Registration(
            settings.registration,
            accounts,
            tokens,
            revocations,
            per_minute=settings.registrations_per_minute,
        ),
        password_queue=_password_queue(settings.argon2_parallel),
        job_lines=JobLines(JobLog("api", settings.log_level)),
        sampler=LaneSampler(lanes),
        redis_warnings=RedisWarnings(),
        lifecycle=lifecycle,
        is_dev=settings.dev,
    )


def _password_queue(parallel: int) -> FairQueue:
    def refusal() -> TooManyPasswords:
        return TooManyPasswords("too many passwords wait to be checked; try again")

    return FairQueue(parallel, parallel * WAITING_PER_THREAD, refusal)


def _tokens(settings: Settings) -> Tokens:
    if settings.jwt_secret is None:
        raise ValueError("LANEWAY_JWT_SECRET is not set")
    secrets = {**settings.jwt_previous_keys, settings.jwt_key_id: settings.jwt_secret}
    keys = {key_id: secret.get_secret_value().encode() for key_id, secret in secrets.items()}
    revoked_seconds = MAX_LIFETIME_SECONDS + 2 * CLOCK_SKEW_SECONDS if settings.oidc_issuer else 0
    return Tokens(keys, settings.jwt_key_id, seconds=settings.token_seconds, revoked_seconds=revoked_seconds)


def _issuer(
    settings: Settings,
    database: AsyncDatabase[Document],
    revocations: Revocations,
    tokens: Tokens,
    stack: AsyncExitStack,
) -> IssuerLogIns:
    # The context of OpenSSL trusts the authorities of SSL_CERT_FILE, too.
    http = httpx2.AsyncClient(verify=ssl.create_default_context(), timeout=ANSWER_SECONDS)
    stack.push_async_callback(http.aclose)
    client = Client(
        settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_scopes
    )
    meaning = Meaning(
        settings.oidc_user_claim,
        settings.reserved_prefix,
        settings.oidc_admin_claim,
        settings.oidc_admin_value,
        frozenset(map(canonical, settings.reserved_names)),
    )
    return IssuerLogIns(
        Provider(client, http),
        IssuerUsers(database),
        meaning,
        revocations,
        audience=settings.oidc_audience,
        revoked_seconds=tokens.revoked_seconds,
    )


def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in a task until the app ends."""
    stack.push_async_callback(cancel, [asyncio.create_task(work)])
