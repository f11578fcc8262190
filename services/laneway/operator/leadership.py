"""Of several operators one acts: the one that holds the Lease of this name in this namespace.

Whether another's hold has run out is judged by how long its record has stood still here, never by comparing clocks.
An operator counts itself as acting for RENEW_WITHIN seconds after the start of its last successful renewal: less than
the lease by more than a request may take, so that what it began while acting has ended before another takes over.
That is politeness, not fencing: a process that was stopped (SIGSTOP, a frozen virtual machine) may wake between the
check and its write, so every write names the resource version that it was decided on (`cluster.py`).

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
from lightkube.resources.coordination_v1 import Lease
from lightkube.types import PatchType

from laneway.operator.cluster import ClusterError, Conflict, translated
from laneway.operator.heartbeats import Beat

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. `lease`: a holder that is silent for so long is taken to be gone."""

    lease: int = 15
    renew_within: float = 10
    retry: float = 2
    request: float = 4


class Leadership:
    """`identity` differs between any two processes, restarts of one included."""

    def __init__(
        self, client: AsyncClient, namespace: str, name: str, identity: str, times: Times | None = None
    ) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._times = times or Times()
        self._acting_until = float("-inf")
        self._record: tuple[str | None, object] | None = None
        self._record_since = 0.0
        self.holder = ""
        """Who holds the lease, as far as is known."""

    @property
    def acting(self) -> bool:
        return time.monotonic() < self._acting_until

    async def run(self, beat: Beat) -> None:
        """Until cancelled: renew, or wait for the holder to go."""
        acted = False
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._times.request):
                    held = await self._campaign()
                self._acting_until = began + self._times.renew_within if held else float("-inf")
            except Conflict:
                self._acting_until = float("-inf")  # another was faster: look again before acting
            except (ClusterError, TimeoutError) as error:
                log.warning("lease_not_renewed", error=str(error) or "timed out", acting=self.acting)
            if self.acting != acted:
                acted = self.acting
                log.info("acting" if acted else "standing_by", identity=self._identity, holder=self.holder)
            beat(self._times.retry)
            await asyncio.sleep(self._times.retry)

    async def release(self) -> None:
        """Let another act at once. Called when nothing is being done any more."""
        if not self.acting:
            return
        self._acting_until = float("-inf")
        try:
            async with asyncio.timeout(self._times.request):
                lease = await self._read()
                if lease.spec and lease.spec.holderIdentity == self._identity:
                    await self._write(lease, {"holderIdentity": None, "renewTime": None})
        except (ClusterError, TimeoutError) as error:
            log.warning("lease_not_released", error=str(error) or "timed out")

    async def _campaign(self) -> bool:
        """Whether this operator holds the lease now."""
        lease = await self._read()
        spec = lease.spec or LeaseSpec()
        self.holder = spec.holderIdentity or ""
        if self.holder not in {"", self._identity} and not self._run_out(spec):
            return False
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        record: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.lease,
            "renewTime": now,
        }
        if self.holder != self._identity:
            record |= {"acquireTime": now, "leaseTransitions": (spec.leaseTransitions or 0) + 1}
        await self._write(lease, record)
        self.holder = self._identity
        return True

    def _run_out(self, spec: LeaseSpec) -> bool:
        record = (spec.holderIdentity, spec.renewTime)
        if record != self._record:
            self._record, self._record_since = record, time.monotonic()
        return time.monotonic() - self._record_since > (spec.leaseDurationSeconds or self._times.lease)

    async def _read(self) -> Lease:
        """The chart makes it: one that is created here would outlive the release."""
        with translated(f"read Lease {self._name}"):
            return await self._client.get(Lease, self._name, namespace=self._namespace)

    async def _write(self, lease: Lease, spec: dict[str, Any]) -> None:
        """Refused with a Conflict if anybody has written since `lease` was read."""
        version = lease.metadata.resourceVersion if lease.metadata else None
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        with translated(f"write Lease {self._name}"):
            await self._client.patch(
                Lease, self._name, patch, namespace=self._namespace, patch_type=PatchType.MERGE
            )
