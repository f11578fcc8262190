"""The operator from this tree, against a real API server with the chart's rights, on lanes in a real Valkey."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis.asyncio
import yaml

from chaos.system.proxy import Proxy
from laneway.dev.embedded import Embedded, EmbeddedError, free_port, valkey
from laneway.lanes.commands import Claim, InspectLane
from laneway.lanes.store import AsyncLanes
from laneway.presence import Presence
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operating import (
    ACCOUNT,
    CHART,
    COST,
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
from tests.schedules import insert_due_schedule

Start = Callable[..., RunningOperator]


@pytest.fixture(scope="session")
def prepared(kubectl: Program) -> None:
    """Install the WorkerPool CRD and a node whose pods have loopback addresses."""
    kubectl("apply", "--server-side", f"--filename={CHART / 'crds'}")
    kubectl("wait", "customresourcedefinitions", "--all", "--for=condition=Established", "--timeout=30s")
    kubectl("apply", "--filename=-", stdin=yaml.safe_dump(LOOPBACK_NODE))
    kubectl("wait", f"node/{LOOPBACK_NODE['metadata']['name']}", "--for=condition=Ready", "--timeout=30s")


@pytest.fixture
def field(prepared: None, kubectl: Program, namespace: str, redis_url: str, prefix: str) -> Field:
    return Field(kubectl, namespace, redis_url, prefix)


@pytest.fixture
def kubeconfig(helm: Program, kubectl: Program, cluster: ControlPlane, namespace: str) -> Path:
    """The kubeconfig of the operator's service account, with the rights that the chart gives it."""
    shown = [f"--show-only=templates/operator/{name}.yaml" for name in ("rbac", "serviceaccount", "lease")]
    rights = helm("template", RELEASE, str(CHART), f"--namespace={namespace}", *shown)
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=rights)
    token = kubectl("create", "token", ACCOUNT, f"--namespace={namespace}").strip()
    return cluster.token_kubeconfig(f"{namespace}-operator", token, namespace)


@pytest.fixture
def network(kubeconfig: Path, cluster: ControlPlane) -> Iterator[Proxy]:
    """A proxy between operators and the API server."""
    proxy = Proxy(int(cluster.url.rpartition(":")[2]))
    proxy.start()
    config = kubeconfig.read_text()
    assert cluster.url in config
    kubeconfig.write_text(config.replace(cluster.url, f"https://127.0.0.1:{proxy.port}"))
    yield proxy
    proxy.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Embedded]:
    """A Redis that a test may kill."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    try:
        starting = valkey(folder)
        server = starting.__enter__()
    except EmbeddedError as error:
        pytest.skip(str(error))
    yield server
    starting.__exit__(None, None, None)


@pytest.fixture
def start(
    field: Field, kubeconfig: Path, tmp_path: Path, mongo_url: str, mongo_database: str
) -> Iterator[Start]:
    """Starts operators in the field's namespace and kills them at the end."""
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
        operator = RunningOperator(name, tmp_path, kubeconfig, field.namespace, **(values | settings))
        running.append(operator)
        return operator

    yield begin
    for operator in running:
        operator.kill()


def test_wakes_from_zero_follows_the_lanes_and_goes_back_to_zero(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool()
    operator = start()
    operator.await_leading()
    assert field.await_condition("Ready", "True")["reason"] == "Reconciled"
    field.enqueue("ann", 3)
    field.await_replicas(1, seconds=5)
    leases = field.start("nowhere", 3)
    field.finish("nowhere", leases, run_seconds=60)
    for number in range(20):
        field.enqueue(f"user-{number}", 2)
    field.await_replicas(5)
    (pod, *_) = field.ready_pods(5)

    def lanes_in_status() -> tuple[int, int, int]:
        return field.status["queued"], field.status["running"], field.status["usersWaiting"]

    # The status follows the replicas, and the pass that scaled may have seen only the first jobs.
    wait_for(lambda: lanes_in_status() == (40, 0, 20), what=field.describe)
    status = field.status
    assert status["usableParallelism"] == 40
    assert status["desiredReplicas"] == 5
    while leases := field.start(pod["metadata"]["name"], 64):
        field.finish(pod["metadata"]["name"], leases, run_seconds=60)
    field.await_replicas(0)
    wait_for(lambda: {"ScaledUp", "ScaledDown"} <= set(field.reasons()), what=field.describe)
    wait_for(lambda: field.status["desiredReplicas"] == 0, what=field.describe)
    assert "lastScaleTime" in field.status
    assert field.pool["metadata"].get("finalizers") is None
    assert operator.stop() == 0


def test_one_user_with_10000_jobs_and_5_slots_scales_nothing(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_leading()
    before = field.generation
    for _ in range(20):
        field.enqueue("ann", 500)
    field.await_reconciles(operator, 5)
    status = field.status
    assert (status["queued"], status["usableParallelism"], status["usersWaiting"]) == (10_000, 5, 1)
    assert (field.replicas, field.generation) == (1, before), field.describe()


def test_idle_pods_go_first(field: Field, start: Start) -> None:
    """One pod reports its own jobs, Redis knows those of another, a third has a long job; the fourth is idle."""
    port = free_port()
    field.deploy(4, grace_seconds=300)
    field.make_pool(slotsPerReplica=2, paused=True)
    pods = field.ready_pods(4)
    names = [pod["metadata"]["name"] for pod in pods]
    for number in range(6):
        field.enqueue(f"user-{number}", 1)
    field.lanes.run(Claim(2, 300))
    field.start(names[1], 2)
    field.start(names[3], 1, ago_seconds=1000)
    field.finish("elsewhere", field.start("elsewhere", 1), run_seconds=0.01)  # the mean run time is short
    counts = {pod["status"]["podIP"]: held for pod, held in zip(pods, (2, 2, 0, 1), strict=True)}
    with answering(counts, port):
        operator = start(worker_metrics_port=port, shutdown_grace_seconds=200)
        operator.await_leading()
        wait_for(field.all_archived, what=operator.log)  # until then run times are unknown and every job pins
        field.change_pool(paused=False)
        field.await_replicas(3)  # five of six slots are busy
        left = {
            pod["metadata"]["name"]: pod["metadata"].get("annotations", {}) for pod in field.ready_pods(3)
        }
    assert left.keys() == {names[0], names[1], names[3]}
    costs = {name: int(annotations.get(COST, "0")) for name, annotations in left.items()}
    assert (costs[names[0]], costs[names[1]]) == (2, 2)
    assert costs[names[3]] > 1000, "a stop would interrupt its job"


def test_a_job_that_would_be_interrupted_keeps_its_pod(field: Field, start: Start) -> None:
    field.deploy(3)
    field.make_pool(minReplicas=0, slotsPerReplica=5)
    names = [pod["metadata"]["name"] for pod in field.ready_pods(3)]
    for number, name in enumerate(names[:2]):
        field.enqueue(f"user-{number}", 1)
        field.start(name, 1, ago_seconds=100)
    operator = start(shutdown_grace_seconds=30)
    operator.await_leading()
    field.await_replicas(2)
    field.await_reconciles(operator)
    assert {pod["metadata"]["name"] for pod in field.ready_pods(2)} == set(names[:2]), field.describe()
    assert field.condition("ScalingActive")["reason"] == "Pinned"


def test_a_terminating_pod_is_no_capacity(field: Field, start: Start) -> None:
    """Its jobs run on in its own slots: they need no replica, and the pod serves no new jobs."""
    field.deploy(2)
    field.make_pool(minReplicas=1, maxReplicas=5, slotsPerReplica=1)
    names = [pod["metadata"]["name"] for pod in field.ready_pods(2)]
    for number in range(3):
        field.enqueue(f"user-{number}", 1)
    field.start(names[0], 3)
    where = f"--namespace={field.namespace}"
    field.kubectl(
        "patch", "pod", names[0], where, "--type=merge", '--patch={"metadata":{"finalizers":["test/held"]}}'
    )
    try:
        field.kubectl("delete", "pod", names[0], where, "--wait=false")
        field.ready_pods(2)  # the ReplicaSet has replaced it
        operator = start()
        operator.await_leading()
        field.await_replicas(1)
        field.await_reconciles(operator)
        assert field.status["running"] == 3
        assert field.replicas == 1, field.describe()
        assert field.status["readyReplicas"] <= 1
    finally:
        field.kubectl(
            "patch", "pod", names[0], where, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
        )


def test_a_paused_pool_is_not_scaled(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(paused=True)
    operator = start()
    operator.await_leading()
    field.enqueue("ann", 50)
    field.await_reconciles(operator)
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
    field.await_reconciles(operator)
    assert (field.replicas, field.generation) == (4, before)
    assert field.status["queued"] == 50, "a paused pool is still reported"
    field.change_pool(paused=False)
    field.await_condition("ScalingActive", "True")
    assert "ReplicasChanged" not in field.reasons()


def test_another_scaler_is_reported_and_corrected(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_leading()
    field.await_reconciles(operator)
    field.scale(3)
    field.await_replicas(1)
    assert "ReplicasChanged" in field.reasons()


def test_a_pool_without_its_deployment_reports_it_and_recovers(field: Field, start: Start) -> None:
    field.make_pool(minReplicas=2)
    operator = start()
    operator.await_leading()
    assert field.await_condition("Ready", "False")["reason"] == "TargetMissing"
    assert wait_for(field.reasons, what=field.describe) == ["ReadyFalse"]  # an Event follows the status
    field.deploy(0)
    field.await_replicas(2)
    field.await_condition("Ready", "True")
    wait_for(lambda: "ReadyTrue" in field.reasons(), what=field.describe)


def test_a_pool_can_be_deleted_at_any_time_and_made_again(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_leading()
    field.await_replicas(1)
    series = f'laneway_pool_replicas_desired{{pool="{POOL}"}}'
    wait_for(lambda: series in operator.metrics())
    field.kubectl("delete", "workerpool", POOL, f"--namespace={field.namespace}", "--timeout=30s")
    wait_for(lambda: series not in operator.metrics(), what=operator.log)
    field.scale(0)
    field.make_pool(minReplicas=2)
    field.await_replicas(2)
    operator.kill()
    field.kubectl("delete", "workerpool", POOL, f"--namespace={field.namespace}", "--timeout=30s")


def test_a_changed_spec_is_followed_before_the_next_poll(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=1, pollIntervalSeconds=300)
    operator = start()
    operator.await_leading()
    field.await_condition("Ready", "True")
    field.change_pool(minReplicas=3)
    field.await_replicas(3, seconds=10)
    wait_for(lambda: field.status["observedGeneration"] == field.pool["metadata"]["generation"])


def test_it_has_no_further_rights(field: Field, start: Start, as_account: Callable[..., Program]) -> None:
    """Every other test shows that its rights suffice; this one shows their limits."""
    start().await_leading()
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
        account.refused("auth", "can-i", verb, kind, "--quiet")
    account("auth", "can-i", "patch", f"deployments/{TARGET}", "--subresource=scale", "--quiet")


def test_a_missing_right_is_logged_and_does_not_end_the_operator(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    where = f"--namespace={field.namespace}"
    role = field.kubectl.json("get", "role", ACCOUNT, where)
    kept = [rule for rule in role["rules"] if rule["resources"] != ["deployments/scale"]]
    field.apply({key: role[key] for key in ("apiVersion", "kind", "metadata")} | {"rules": kept})
    operator = start()
    operator.await_leading()
    wait_for(lambda: "request_refused" in operator.events(), what=operator.log)
    assert field.replicas == 0
    field.apply(
        {key: role[key] for key in ("apiVersion", "kind")}
        | {"metadata": {"name": ACCOUNT}, "rules": role["rules"]}
    )
    field.await_replicas(1, seconds=30)
    assert operator.health()


def test_a_deleted_lease_is_reported_and_created_again(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_leading()
    wait_for(lambda: not operator.problems())
    where = f"--namespace={field.namespace}"
    field.kubectl("delete", "lease", ACCOUNT, where)
    problem = wait_for(operator.problems, what=operator.log)
    assert list(problem) == ["lease"]
    assert f'"{ACCOUNT}" not found' in problem["lease"]
    assert operator.health(), "it is alive: a restart would mend nothing"
    wait_for(lambda: not operator.leading, 15, what=operator.log)
    wait_for(lambda: "lease_created" in operator.events(), 30, what=operator.log)
    operator.await_leading()
    wait_for(lambda: not operator.problems())
    holder = field.kubectl.json("get", "lease", ACCOUNT, where)["spec"]["holderIdentity"]
    assert holder.startswith("operator-1_")
    field.change_pool(minReplicas=2)
    field.await_replicas(2)


def test_a_scaler_that_insists_does_not_flood_the_events(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool(minReplicas=2)
    operator = start()
    operator.await_leading()
    field.await_replicas(2)
    for _ in range(20):
        field.scale(1)
        field.await_reconciles(operator, 1)
    reasons = field.reasons()
    assert reasons.count("ReplicasChanged") <= 3
    assert reasons.count("ScaledUp") <= 3
    wait_for(lambda: field.condition("ScalingActive")["reason"] == "Contended", what=field.describe)


def test_sigterm_ends_it_soon_and_hands_the_lead_over(field: Field, start: Start) -> None:
    field.deploy(1)
    field.make_pool()
    first = start("operator-1")
    first.await_leading()
    second = start("operator-2")
    wait_for(lambda: second.health().get("holder", "").startswith("operator-1_"), what=second.log)
    first.signal(signal.SIGTERM)
    second.await_leading(seconds=6)
    assert first.process.wait(10) == 0


# -- outages ----------------------------------------------------------------------------------------------------------


def test_redis_away_keeps_the_replicas_and_is_reported(field: Field, start: Start, store: Embedded) -> None:
    field = Field(field.kubectl, field.namespace, store.url, "own")
    field.deploy(1)
    field.make_pool(minReplicas=0, slotsPerReplica=1)
    operator = start(redis_url=store.url, key_prefix="own")
    operator.await_leading()
    for number in range(5):
        field.enqueue(f"user-{number}", 1)
    field.await_replicas(5)
    before = field.generation
    store.kill()
    message = field.await_condition("StoreReachable", "False")["message"]
    assert "Redis could not be read" in message
    assert field.condition("ScalingActive")["reason"] == "LoadUnknown"
    assert operator.metrics()["laneway_redis_up"] == 0
    assert list(operator.problems()) == ["redis"]
    assert "Redis could not be read" in operator.problems()["redis"]
    field.await_reconciles(operator)
    assert (field.replicas, field.generation) == (5, before)
    assert field.status["queued"] == 5, "as last read"
    assert operator.health(), "it is alive: a restart would mend nothing"
    store.start()
    field.await_condition("StoreReachable", "True")
    wait_for(lambda: operator.problems() == {}, what=operator.log)
    field.await_condition("ScalingActive", "True")
    assert (field.replicas, field.generation) == (5, before)
    wait_for(
        lambda: {"StoreReachableFalse", "StoreReachableTrue"} <= set(field.reasons()), what=field.describe
    )


@pytest.mark.parametrize("outage", ["refuse", "stall"])
def test_the_api_server_away_is_waited_for(field: Field, network: Proxy, start: Start, outage: str) -> None:
    """The operator gives up the lead before another could take it, and recovers by itself."""
    field.deploy(1)
    field.make_pool(minReplicas=1)
    operator = start()
    operator.await_leading()
    field.await_condition("Ready", "True")
    {"refuse": network.refuse, "stall": network.stall}[outage]()
    if outage == "refuse":
        network.reset()
    wait_for(lambda: not operator.leading, 20, what=operator.log)
    for number in range(10):
        field.enqueue(f"user-{number}", 1)
    assert operator.health(), "it is alive: a restart would mend nothing"
    network.heal()
    field.await_replicas(2, seconds=30)
    assert operator.process.poll() is None
    assert "loop_failed" not in operator.events()
    assert "reconcile_failed" not in operator.events()
    field.change_pool(minReplicas=3, pollIntervalSeconds=300)
    field.await_replicas(3)
    field.change_pool(minReplicas=4)
    field.await_replicas(4, seconds=30)  # the watch works again


def test_it_may_start_before_the_api_server(field: Field, network: Proxy, start: Start) -> None:
    network.refuse()
    field.deploy(0)
    field.make_pool(minReplicas=1)
    operator = start()
    wait_for(lambda: "lease_renewal_failed" in operator.events(), what=operator.log)
    wait_for(operator.health, what=operator.log)
    network.heal()
    field.await_replicas(1, seconds=40)  # an earlier operator may have left its lease unreleased


def test_a_restart_keeps_the_stabilisation_window(field: Field, start: Start) -> None:
    window, before_restart = 45, 10  # the next operator starts within the rest of the window
    field.deploy(0)
    field.make_pool(slotsPerReplica=1, stabilizationWindowSeconds=window)
    first = start("operator-1")
    first.await_leading()
    for number in range(5):
        field.enqueue(f"user-{number}", 1)
    field.await_replicas(5)
    field.finish("nowhere", field.start("nowhere", 5), run_seconds=1)

    def age_of_window() -> float:
        step = field.status["memory"]["steps"][-1]
        return time.time() - step["since"] if step["replicas"] == 0 else 0

    wait_for(lambda: age_of_window() > before_restart, seconds=60, what=field.describe)
    assert first.stop() == 0
    second = start("operator-2")
    second.await_leading()
    leading_since = time.monotonic()
    field.await_reconciles(second, 1)
    assert field.replicas == 5, "the window has not ended"
    assert field.condition("ScalingActive")["reason"] == "Stabilising"
    field.await_replicas(0, seconds=window + 5)
    assert time.monotonic() - leading_since < window - before_restart / 2, (
        "a new window would have lasted longer"
    )


# -- two operators ----------------------------------------------------------------------------------------------------


def test_of_two_operators_one_leads_and_the_other_takes_over_after_a_kill(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    first = start("operator-1")
    first.await_leading()
    second = start("operator-2")
    wait_for(second.health, what=second.log)
    field.await_replicas(1)
    assert not second.leading
    assert second.reconciles() == 0
    assert "laneway_janitor_age_seconds" in second.metrics()
    assert "janitor_started" not in second.events()
    first.kill()
    field.change_pool(minReplicas=2)
    second.await_leading(seconds=30)
    field.await_replicas(2)
    wait_for(lambda: "janitor_started" in second.events(), what=second.log)
    ages = second.health()["ages"]
    assert ages.keys() == {"leadership", "pools", "janitor", f"pool {POOL}"}
    assert ages["leadership"] < 20, "each loop beats under the name that is expected"
    assert ages["janitor"] < 20


def test_an_operator_that_stood_still_does_not_lead_again(field: Field, start: Start) -> None:
    field.deploy(0)
    field.make_pool(minReplicas=1)
    first = start("operator-1")
    first.await_leading()
    field.await_replicas(1)
    wait_for(lambda: "janitor_started" in first.events(), what=first.log)
    second = start("operator-2")
    first.signal(signal.SIGSTOP)
    try:
        second.await_leading(seconds=40)
        field.change_pool(minReplicas=2)
        field.await_replicas(2)
    finally:
        first.signal(signal.SIGCONT)
    wait_for(lambda: first.health().get("holder", "").startswith("operator-2_"), what=first.log)
    assert (first.leading, second.leading) == (False, True)
    assert first.events().count("pool_scaled") == 1
    wait_for(lambda: "janitor_stopped" in first.events(), what=first.log)


# -- the janitor ------------------------------------------------------------------------------------------------------


def test_it_hosts_the_janitor_with_the_pools_rules(
    field: Field, start: Start, mongo_url: str, mongo_database: str
) -> None:
    """The janitor expires leases, archives ended jobs, fires schedules and empties the lane of a disconnected user."""
    field.deploy(1)
    field.make_pool(minReplicas=1, disconnectPolicy="drain")
    operator = start(disconnect_policy="purge")
    operator.await_leading()
    field.enqueue("ann", 1)
    field.start("died", 1, lease_seconds=0.1)
    wait_for(lambda: operator.metrics().get("laneway_leases_expired_total") == 1, what=operator.log)
    (again,) = field.start("lives", 1)
    assert again.attempt == 1, "a lost worker is not charged as an attempt"
    field.finish("lives", [again], run_seconds=3)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        history = client[mongo_database]["history"]
        wait_for(lambda: history.find_one({"_id": f"ann/{again.job_id}", "state": "succeeded"}))
        insert_due_schedule(client[mongo_database], "zoe")
    wait_for(lambda: field.lanes.run(InspectLane("zoe")).queued == 1, what=operator.log)
    series = f'laneway_pool_service_seconds{{pool="{POOL}"}}'
    wait_for(lambda: operator.metrics().get(series) == pytest.approx(3, abs=0.5), what=operator.metrics)

    field.enqueue("bob", 3)
    asyncio.run(_connect_and_log_out(field, "bob"))
    wait_for(lambda: operator.metrics().get("laneway_users_disconnected_total") == 1)
    assert field.lanes.run(InspectLane("bob")).queued == 3, "the pool says drain"
    field.change_pool(disconnectPolicy="purge")
    wait_for(lambda: operator.events().count("janitor_started") == 2, what=operator.log)
    asyncio.run(_connect_and_log_out(field, "bob"))
    wait_for(lambda: field.lanes.run(InspectLane("bob")).queued == 0, what=operator.log)


async def _connect_and_log_out(field: Field, user: str) -> None:
    client = redis.asyncio.Redis.from_url(field.redis_url)
    presence = Presence(AsyncLanes(client, field.lanes.keys), heartbeat_seconds=10)
    await presence.connect(user, "token:1")
    await presence.logout(user, "token")
    await client.aclose()
