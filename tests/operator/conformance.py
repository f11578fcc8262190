"""What both API servers must do, the fake of the unit tests and the real one: checks in terms of lightkube's client.

Each check works on objects of its own in the namespace that the client was made for.
"""

from __future__ import annotations

from typing import Any

import pytest
from lightkube import ApiError, AsyncClient
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.operators import exists, in_, not_exists, not_in
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap, Event
from lightkube.types import PatchType

from laneway.operator.workerpool import GROUP, KIND, PLURAL, VERSION

WorkerPool = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
POOL_SPEC = {
    "target": "worker",
    "minReplicas": 0,
    "maxReplicas": 5,
    "slotsPerReplica": 5,
    "drainTargetSeconds": 10,
    "stabilizationWindowSeconds": 1,
    "pollIntervalSeconds": 1,
    "disconnectGraceSeconds": 60,
    "disconnectPolicy": "drain",
    "paused": False,
}


def deployment(name: str, replicas: int = 0) -> Deployment:
    labels = {"app": name}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels),
        spec=PodSpec(
            containers=[Container(name="worker", image="simulated")], terminationGracePeriodSeconds=40
        ),
    )
    return Deployment(
        metadata=ObjectMeta(name=name),
        spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=template),
    )


async def refused(request: Any) -> int:
    """The status code of a request that must fail."""
    with pytest.raises(ApiError) as error:
        await request
    return error.value.status.code or 0


async def objects_are_created_read_and_deleted(client: AsyncClient) -> None:
    await client.create(Lease(metadata=ObjectMeta(name="made")))
    found = await client.get(Lease, "made")
    assert found.metadata
    assert found.metadata.uid
    assert found.metadata.resourceVersion
    assert await refused(client.create(Lease(metadata=ObjectMeta(name="made")))) == 409
    await client.delete(Lease, "made")
    assert await refused(client.get(Lease, "made")) == 404
    assert await refused(client.patch(Lease, "made", {}, patch_type=PatchType.MERGE)) == 404
    assert await refused(client.delete(Lease, "made")) == 404


async def a_write_on_an_old_version_is_refused(client: AsyncClient) -> None:
    old = await client.create(Lease(metadata=ObjectMeta(name="old")))
    assert old.metadata

    def patch(holder: str | None) -> dict[str, Any]:
        return {
            "metadata": {"resourceVersion": old.metadata.resourceVersion if old.metadata else ""},
            "spec": {"holderIdentity": holder},
        }

    new = await client.patch(Lease, "old", patch("ann"), patch_type=PatchType.MERGE)
    assert new.metadata
    assert new.metadata.resourceVersion != old.metadata.resourceVersion
    assert await refused(client.patch(Lease, "old", patch("bob"), patch_type=PatchType.MERGE)) == 409
    same = {"spec": {"holderIdentity": "ann"}}
    unchanged = await client.patch(Lease, "old", same, patch_type=PatchType.MERGE)
    assert unchanged.metadata
    assert unchanged.metadata.resourceVersion == new.metadata.resourceVersion, "nothing was changed"
    without = await client.patch(Lease, "old", {"spec": {"holderIdentity": None}}, patch_type=PatchType.MERGE)
    assert without.spec is None or without.spec.holderIdentity is None


async def the_scale_is_a_view_of_the_deployment(client: AsyncClient) -> None:
    made = await client.create(deployment("scaled"))
    assert made.metadata
    stale = {
        "metadata": {"resourceVersion": made.metadata.resourceVersion},
        "spec": {"replicas": 2},
    }
    label = {"metadata": {"labels": {"touched": "yes"}}}
    touched = await client.patch(Deployment, "scaled", label, patch_type=PatchType.MERGE)
    assert await refused(client.patch(Deployment.Scale, "scaled", stale, patch_type=PatchType.MERGE)) == 409
    assert touched.metadata
    scale = await client.patch(
        Deployment.Scale, "scaled", {"spec": {"replicas": 2}}, patch_type=PatchType.MERGE
    )
    assert scale.spec
    assert scale.spec.replicas == 2
    found = await client.get(Deployment, "scaled")
    assert found.metadata
    assert found.spec.replicas == 2
    assert found.metadata.generation == (touched.metadata.generation or 0) + 1
    assert found.metadata.labels == {"touched": "yes"}


async def the_status_is_written_apart(client: AsyncClient) -> None:
    made = await client.create(WorkerPool(metadata=ObjectMeta(name="pool"), spec=POOL_SPEC))
    assert made.metadata
    both = {"spec": {"maxReplicas": 9}, "status": {"queued": 3}}
    found = await client.patch(WorkerPool.Status, "pool", both, patch_type=PatchType.MERGE)
    assert found.metadata
    assert (found["spec"]["maxReplicas"], found["status"]["queued"]) == (5, 3)
    assert found.metadata.generation == made.metadata.generation
    whole: Any = await client.patch(
        WorkerPool, "pool", both | {"status": {"queued": 4}}, patch_type=PatchType.MERGE
    )
    assert (whole["spec"]["maxReplicas"], whole["status"]["queued"]) == (9, 3)
    assert whole.metadata.generation == (made.metadata.generation or 0) + 1
    stale = {"metadata": {"resourceVersion": made.metadata.resourceVersion}, "status": {"queued": 5}}
    assert await refused(client.patch(WorkerPool.Status, "pool", stale, patch_type=PatchType.MERGE)) == 409


async def labels_select(client: AsyncClient) -> None:
    for name, labels in (("a", {"kind": "x", "only": "a"}), ("b", {"kind": "x"}), ("c", {"kind": "y"})):
        await client.create(ConfigMap(metadata=ObjectMeta(name=name, labels={**labels, "test": "labels"})))

    async def names(**labels: Any) -> list[str]:
        found = client.list(ConfigMap, labels={"test": "labels", **labels})
        return sorted([item.metadata.name or "" async for item in found if item.metadata])

    assert await names() == ["a", "b", "c"]
    assert await names(kind="x") == ["a", "b"]
    assert await names(kind=in_(["x", "z"])) == ["a", "b"]
    assert await names(kind=not_in(["x", "z"])) == ["c"]
    assert await names(only=exists()) == ["a"]
    assert await names(only=not_exists()) == ["b", "c"]


async def an_event_is_created_and_patched(client: AsyncClient) -> None:
    made = await client.create(
        Event(
            metadata=ObjectMeta(name="pool.1", namespace=client.namespace),
            involvedObject={"kind": KIND, "name": "pool", "namespace": client.namespace},  # type: ignore[arg-type]
            reason="ScaledUp",
            message="one",
            count=1,
        )
    )
    assert made.count == 1
    found = await client.patch(Event, "pool.1", {"count": 2, "message": "two"}, patch_type=PatchType.MERGE)
    assert (found.count, found.message, found.reason) == (2, "two", "ScaledUp")


CHECKS = (
    objects_are_created_read_and_deleted,
    a_write_on_an_old_version_is_refused,
    the_scale_is_a_view_of_the_deployment,
    the_status_is_written_apart,
    labels_select,
    an_event_is_created_and_patched,
)
