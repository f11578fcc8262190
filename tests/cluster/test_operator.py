"""The operator, run from this tree against a real API server with the chart's rights, on lanes in a real Valkey."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from services.embedded import free_port
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operating import (
    ACCOUNT,
    CHART,
    LOOPBACK_NODE,
    POOL,
    RELEASE,
    TARGET,
    Field,
    RunningOperator,
    answering,
    wait_for,
)
from tests.cluster.program import Program

Start = Callable[..., RunningOperator]


@pytest.fixture(scope="session")
def prepared(kubectl: Program) -> None:
    """The kind of resource, and a node whose pods have loopback addresses."""
    kubectl("apply", "--server-side", f"--filename={CHART / 'crds'}")
    kubectl("wait", "customresourcedefinitions", "--all", "--for=condition=Established", "--timeout=30s")
    kubectl("apply", "--filename=-", stdin=yaml.safe_dump(LOOPBACK_NODE))
    kubectl("wait", f"node/{LOOPBACK_NODE['metadata']['name']}", "--for=condition=Ready", "--timeout=30s")


@pytest.fixture
def field(prepared: None, kubectl: Program, namespace: str, redis_url: str, prefix: str) -> Field:
    return Field(kubectl, namespace, redis_url, prefix)


@pytest.fixture
def kubeconfig(helm: Program, kubectl: Program, cluster: ControlPlane, namespace: str) -> Path:
    """Of the operator's service account, with the rights that the chart gives it and no others."""
    shown = [f"--show-only=templates/operator/{name}.yaml" for name in ("rbac", "serviceaccount")]
    rights = helm("template", RELEASE, str(CHART), f"--namespace={namespace}", *shown)
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=rights)
    token = kubectl("create", "token", ACCOUNT, f"--namespace={namespace}").strip()
    return cluster.token_kubeconfig(f"{namespace}-operator", token, namespace)


@pytest.fixture
def start(
    field: Field, kubeconfig: Path, tmp_path: Path, mongo_url: str, mongo_database: str
) -> Iterator[Start]:
    """Starts operators of the field; those that still run at the end are killed."""
    running: list[RunningOperator] = []

    def begin(name: str = "operator-1", **settings: object) -> RunningOperator:
        values: dict[str, object] = {
            "redis_url": field.redis_url,
            "mongo_url": mongo_url,
            "mongo_database": mongo_database,
            "key_prefix": field.prefix,
            "worker_metrics_port": 0,
            "janitor_interval_seconds": 0.2,
        }
        config = Path(str(settings.pop("kubeconfig", kubeconfig)))
        operator = RunningOperator(name, tmp_path, config, field.namespace, **(values | settings))
        running.append(operator)
        return operator

    yield begin
    for operator in running:
        operator.kill()


def test_wakes_from_zero_follows_the_lanes_and_goes_back_to_zero(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool()
    operator = start()
    operator.await_acting()
    assert field.await_condition("Ready", "True")["reason"] == "Reconciled"
    field.enqueue("ann", 3)
    field.await_replicas(1, seconds=5)
    leases = field.start("nowhere", 3)
    field.finish("nowhere", leases, run_seconds=60)
    for number in range(20):
        field.enqueue(f"user-{number}", 2)
    field.await_replicas(5)
    (pod, *_) = field.ready_pods(5)
    status = field.status
    assert (status["queued"], status["running"], status["usersWaiting"]) == (40, 0, 20), field.describe()
    assert status["usableParallelism"] == 40
    assert status["desiredReplicas"] == 5
    while leases := field.start(pod["metadata"]["name"], 64):
        field.finish(pod["metadata"]["name"], leases, run_seconds=60)
    field.await_replicas(0)
    assert {"ScaledUp", "ScaledDown"} <= set(field.reasons())
    wait_for(lambda: field.status["desiredReplicas"] == 0, what=field.describe)
    assert "lastScaleTime" in field.status
    assert field.pool["metadata"].get("finalizers") is None
    assert operator.stop() == 0


def test_one_user_with_10000_jobs_and_5_slots_scales_nothing(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_acting()
    before = field.generation
    for _ in range(20):
        field.enqueue("ann", 500)
    field.await_looks(operator, 5)
    status = field.status
    assert (status["queued"], status["usableParallelism"], status["usersWaiting"]) == (10_000, 5, 1)
    assert (field.replicas, field.generation) == (1, before), field.describe()


def test_idle_pods_go_first(field: Field, start: Start) -> None:
    """Two are known to be busy by what they hold, one by a job that has run for long, one does not answer."""
    port = free_port()
    field.deploy(5)
    field.make_pool(minReplicas=0, maxReplicas=5, slotsPerReplica=2)
    pods = field.ready_pods(5)
    names = [pod["metadata"]["name"] for pod in pods]
    addresses = [pod["status"]["podIP"] for pod in pods]
    for number in range(4):
        field.enqueue(f"user-{number}", 1)
    busy = [*field.start(names[0], 1), *field.start(names[1], 1)]
    field.start(names[2], 1, ago_seconds=100)
    counts = {addresses[0]: 1, addresses[1]: 1, addresses[2]: 1, addresses[3]: 0}
    with answering(counts, port):
        operator = start(worker_metrics_port=port, shutdown_grace_seconds=30)
        operator.await_acting()
        field.finish("elsewhere", field.start("elsewhere", 1), run_seconds=0.01)  # jobs are short, as a rule
        field.await_replicas(2)  # three slots are in use
        field.ready_pods(2)
        left = {pod["metadata"]["name"] for pod in field.pods()}
        assert names[3] not in left
        assert names[2] in left, "the long job would have been interrupted"
        assert len(busy) == 2


def test_the_last_pods_before_zero_are_not_asked_for(field: Field, start: Start) -> None:
    field.deploy(3)
    field.make_pool()
    operator = start()
    operator.await_acting()
    field.await_replicas(0)
    assert "ScaledDown" in wait_for(field.reasons)
    assert field.pool["status"]["conditions"]


def test_a_job_that_would_be_interrupted_keeps_its_pod(field: Field, start: Start) -> None:
    field.deploy(3)
    field.make_pool(minReplicas=0, slotsPerReplica=5)
    names = [pod["metadata"]["name"] for pod in field.ready_pods(3)]
    for number, name in enumerate(names[:2]):
        field.enqueue(f"user-{number}", 1)
        field.start(name, 1, ago_seconds=100)
    operator = start(shutdown_grace_seconds=30)
    operator.await_acting()
    field.await_replicas(2)
    field.await_looks(operator)
    assert {pod["metadata"]["name"] for pod in field.ready_pods(2)} == set(names[:2]), field.describe()
    assert field.condition("ScalingActive")["reason"] == "Pinned"


def test_a_terminating_pod_is_no_capacity(field: Field, start: Start) -> None:
    """Its job runs on, in a slot that it alone can use: nobody else is needed for it, nor can it serve others."""
    field.deploy(2)
    field.make_pool(minReplicas=1, maxReplicas=5, slotsPerReplica=1)
    names = [pod["metadata"]["name"] for pod in field.ready_pods(2)]
    field.enqueue("ann", 1)
    field.start(names[0], 1)
    where = f"--namespace={field.namespace}"
    field.kubectl(
        "patch", "pod", names[0], where, "--type=merge", '--patch={"metadata":{"finalizers":["test/held"]}}'
    )
    try:
        field.kubectl("delete", "pod", names[0], where, "--wait=false")
        field.ready_pods(2)  # the ReplicaSet has made another
        operator = start()
        operator.await_acting()
        field.await_replicas(1)
        field.await_looks(operator)
        assert field.status["running"] == 1
        assert field.replicas == 1, field.describe()
    finally:
        field.kubectl(
            "patch", "pod", names[0], where, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
        )


def test_a_paused_pool_is_left_to_its_owner(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(paused=True)
    operator = start()
    operator.await_acting()
    field.enqueue("ann", 50)
    field.await_looks(operator)
    assert field.condition("ScalingActive") | {
        "lastTransitionTime": "",
        "message": "",
        "observedGeneration": 0,
    } == {
        "type": "ScalingActive",
        "status": "False",
        "reason": "Paused",
        "lastTransitionTime": "",
        "message": "",
        "observedGeneration": 0,
    }
    field.scale(4)
    before = field.generation
    field.await_looks(operator)
    assert (field.replicas, field.generation) == (4, before)
    assert field.status["queued"] == 50, "it is still reported"
    field.change_pool(paused=False)
    field.await_condition("ScalingActive", "True")
    assert "ReplicasChanged" not in field.reasons()


def test_a_second_hand_on_the_replicas_is_told_of(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_acting()
    field.await_looks(operator)
    field.scale(3)
    field.await_replicas(1)
    assert "ReplicasChanged" in field.reasons()


def test_without_its_deployment_a_pool_says_so_and_recovers(field: Field, start: Start) -> None:
    field.make_pool(minReplicas=2)
    operator = start()
    operator.await_acting()
    assert field.await_condition("Ready", "False")["reason"] == "TargetMissing"
    assert field.reasons() == ["ReadyFalse"]
    field.deploy(0)
    field.await_replicas(2)
    field.await_condition("Ready", "True")
    wait_for(lambda: "ReadyTrue" in field.reasons(), what=field.describe)


def test_a_pool_can_be_deleted_at_any_time_and_made_again(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_acting()
    field.await_replicas(1)
    series = f'queue_pool_replicas_desired{{pool="{POOL}"}}'
    wait_for(lambda: series in operator.metrics())
    field.kubectl("delete", "workerpool", POOL, f"--namespace={field.namespace}", "--timeout=5s")
    wait_for(lambda: series not in operator.metrics(), what=operator.log)
    field.scale(0)
    field.make_pool(minReplicas=2)
    field.await_replicas(2)
    operator.kill()
    field.kubectl("delete", "workerpool", POOL, f"--namespace={field.namespace}", "--timeout=5s")


def test_a_changed_spec_is_followed_before_the_next_poll(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1, pollIntervalSeconds=300)
    operator = start()
    operator.await_acting()
    field.await_condition("Ready", "True")
    field.change_pool(minReplicas=3)
    field.await_replicas(3, seconds=10)
    wait_for(lambda: field.status["observedGeneration"] == field.pool["metadata"]["generation"])


def test_it_has_no_right_beyond_what_it_is_given(
    field: Field, start: Start, as_account: Callable[..., Program]
) -> None:
    """It acts with these rights in every other test; here is what it may not."""
    start().await_acting()
    account = as_account(field.namespace, ACCOUNT)
    for forbidden in (
        "get secrets",
        "create pods",
        "delete pods",
        "update deployments",
        "list namespaces",
        "delete workerpools",
    ):
        verb, kind = forbidden.split()
        assert account.refused("auth", "can-i", verb, kind, "--quiet") == ""
    account("auth", "can-i", "patch", f"deployments/{TARGET}", "--subresource=scale", "--quiet")


def test_a_missing_right_is_told_in_the_log_and_no_end(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    where = f"--namespace={field.namespace}"
    role = field.kubectl.json("get", "role", ACCOUNT, where)
    kept = [rule for rule in role["rules"] if rule["resources"] != ["deployments/scale"]]
    field.apply({key: role[key] for key in ("apiVersion", "kind", "metadata")} | {"rules": kept})
    operator = start()
    operator.await_acting()
    wait_for(lambda: "cluster_refused" in operator.events(), what=operator.log)
    assert field.replicas == 0
    field.apply(
        {key: role[key] for key in ("apiVersion", "kind")}
        | {"metadata": {"name": ACCOUNT}, "rules": role["rules"]}
    )
    field.await_replicas(1, seconds=30)
    assert operator.health()


def test_it_ends_soon_and_hands_over_when_told_to(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool()
    first = start("operator-1")
    first.await_acting()
    second = start("operator-2")
    wait_for(lambda: second.health().get("holder", "").startswith("operator-1_"), what=second.log)
    first.signal(signal.SIGTERM)
    second.await_acting(seconds=6)
    assert first.process.wait(10) == 0
