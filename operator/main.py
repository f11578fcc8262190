"""The operator as kopf runs it: `laneway operator`, or `kopf run --namespace NAME --liveness URL operator/main.py`.

kopf starts and stops it, answers the kubelet's probe, and hears of changes of WorkerPools. What is done is decided by
looking, not by what was heard (`pools.py`): kopf's own timers and daemons are not used, since they put finalizers on
the pools, which then could not be deleted once the operator is gone.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import kopf

from laneway.operator.__main__ import namespace
from laneway.operator.app import Operator
from laneway.operator.cluster import COMPONENT, connection
from laneway.operator.heartbeats import Stale
from laneway.operator.workerpool import GROUP, PLURAL, VERSION
from laneway.settings import load
from laneway.telemetry import log as logs

own = load()
logs.configure("operator", own.log_level)
if own.log_level != "DEBUG":
    # A line for each request, each probe, and each status that is written here.
    for chatty in ("httpx2", "aiohttp.access", "kopf.activities.probe", "kopf.objects"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class ForEver(Iterable[float]):
    """Pauses between kopf's attempts: an API server that is away is no reason to exit."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1, 2, 3), itertools.repeat(5.0))


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    settings.scanning.disabled = True  # neither namespaces nor CRDs: no rights beyond one namespace
    settings.peering.standalone = True  # of several operators one acts, but not by peering: see leadership.py
    settings.posting.enabled = False  # events are told by cluster.py
    settings.networking.error_backoffs = ForEver()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 90  # a watch tells at least every minute that it lives
    settings.process.ultimate_exiting_timeout = 25
    memo.operator = Operator(own, connection(), namespace())
    memo.operator.start()


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    await memo.operator.stop()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def heard(type: str | None, body: kopf.Body, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002
    """Hints. kopf's memo is one a resource, and shares what the operator's has."""
    operator: Operator = memo.operator
    if type == "DELETED":
        operator.gone(str(body.metadata.name))
    else:
        operator.notice(body)


@kopf.on.probe(id="operator")
async def alive(memo: kopf.Memo, **_: Any) -> dict[str, Any]:
    operator: Operator = memo.operator
    try:
        return operator.health()
    except Stale as error:
        raise kopf.PermanentError(f"{COMPONENT}: {error}") from error
