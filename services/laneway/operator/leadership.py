"""Leader election: of several operators the one that holds the Lease leads, and only the leader writes.

Another holder counts as gone when its record has stood still *here* for the duration that the record names; clocks of
different machines are never compared. An operator leads for `renew_within_seconds` after the start of its last
successful renewal. That is shorter than the lease by more than a request may take, so what it began while leading has
ended before another operator takes over.

The chart creates the Lease. If it is missing for a whole lease duration (a GitOps tool leaves Leases out, a person has
deleted it), an operator creates it again. The delay ensures that no earlier leader still leads, and that an operator which
is being uninstalled does not bring its Lease back.

This avoids two leaders, but it is no fence: a process that stood still (SIGSTOP, a frozen virtual machine) may wake up
between its check and its write. So every write also names the resource version that it was decided on (`cluster.py`).

Why not a library's leader election: docs/decisions/0019-operator-leadership.md.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from lightkube import AsyncClient
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.types import PatchType

from laneway.operator.errors import ClusterError, Conflict, NotFound, as_cluster_errors
from laneway.operator.heartbeats import Beat

NEVER = float("-inf")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How the lease is held. `duration_seconds`: a holder that is silent for so long counts as gone."""

    duration_seconds: int = 15
    renew_within_seconds: float = 10
    retry_seconds: float = 2
    request_seconds: float = 4


class Leadership:
    """One candidate. `identity` must differ between any two processes, also between restarts of one."""

    def __init__(
        self, client: AsyncClient, namespace: str, name: str, identity: str, times: LeaseTimes | None = None
    ) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._times = times or LeaseTimes()
        self._leads_until = NEVER
        self._record: tuple[str | None, object] | None = None
        self._record_since = 0.0
        self._missing_since: float | None = None
        self.holder = ""
        """Identity of the lease's holder, as last read."""
        self.problem = "the Lease has not been read yet"
        """Why nobody can be elected at the moment; empty if the last round succeeded."""

    @property
    def leading(self) -> bool:
        """Whether this operator may write now."""
        return time.monotonic() < self._leads_until

    async def run(self, beat: Beat) -> None:
        """Renew the lease, or wait until its holder has gone. Runs until cancelled."""
        led = False
        while True:
            await self._try_to_lead()
            if self.leading != led:
                led = self.leading
                event = "leadership_gained" if led else "leadership_lost"
                log.info(event, identity=self._identity, holder=self.holder)
            beat(self._times.retry_seconds)
            await asyncio.sleep(self._times.retry_seconds)

    async def release(self) -> None:
        """Give the lease back, so that another operator leads at once. Call it when nothing is being written any more."""
        if not self.leading:
            return
        self._leads_until = NEVER
        try:
            async with asyncio.timeout(self._times.request_seconds):
                lease = await self._read()
                if lease.spec and lease.spec.holderIdentity == self._identity:
                    await self._write(lease, {"holderIdentity": None, "renewTime": None})
        except (ClusterError, TimeoutError) as error:
            log.warning("lease_release_failed", error=str(error) or "timed out")

    async def _try_to_lead(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._times.request_seconds):
                held = await self._acquire_or_renew()
            self._leads_until = began + self._times.renew_within_seconds if held else NEVER
            self.problem = ""
        except Conflict:
            self._leads_until = NEVER  # another candidate wrote first: read again before leading
        except (ClusterError, TimeoutError) as error:
            self.problem = str(error) or f"no answer within {self._times.request_seconds:g} s"
            log.warning("lease_renewal_failed", error=self.problem, leading=self.leading)

    async def _acquire_or_renew(self) -> bool:
        """Whether this operator holds the lease now."""
        try:
            lease = await self._read()
        except NotFound:
            if not self._is_missing_for_long():
                raise
            lease = await self._create()
        self._missing_since = None
        spec = lease.spec or LeaseSpec()
        self.holder = spec.holderIdentity or ""
        if self.holder not in {"", self._identity} and not self._has_expired(spec):
            return False
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        record: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.duration_seconds,
            "renewTime": now,
        }
        if self.holder != self._identity:
            record |= {"acquireTime": now, "leaseTransitions": (spec.leaseTransitions or 0) + 1}
        await self._write(lease, record)
        self.holder = self._identity
        return True

    def _is_missing_for_long(self) -> bool:
        if self._missing_since is None:
            self._missing_since = time.monotonic()
        return time.monotonic() - self._missing_since > self._times.duration_seconds

    def _has_expired(self, spec: LeaseSpec) -> bool:
        """Whether the holder's record has stood still here for the duration that it names."""
        record = (spec.holderIdentity, spec.renewTime)
        if record != self._record:
            self._record, self._record_since = record, time.monotonic()
        duration_seconds = spec.leaseDurationSeconds or self._times.duration_seconds
        return time.monotonic() - self._record_since > duration_seconds

    async def _read(self) -> Lease:
        with as_cluster_errors(f"read Lease {self._name}"):
            return await self._client.get(Lease, self._name, namespace=self._namespace)

    async def _create(self) -> Lease:
        """Create the Lease, held by nobody. Raises Conflict if another operator has created it."""
        with as_cluster_errors(f"create Lease {self._name}"):
            lease = await self._client.create(
                Lease(metadata=ObjectMeta(name=self._name, namespace=self._namespace))
            )
        log.warning("lease_created", lease=self._name)
        return lease

    async def _write(self, lease: Lease, spec: dict[str, Any]) -> None:
        """Raises Conflict if anybody has written since `lease` was read."""
        version = lease.metadata.resourceVersion if lease.metadata else None
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        with as_cluster_errors(f"write Lease {self._name}"):
            await self._client.patch(
                Lease, self._name, patch, namespace=self._namespace, patch_type=PatchType.MERGE
            )
