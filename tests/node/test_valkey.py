"""The bundled Valkey on a node: its pod restarts, its volume stays, and the commands of docs/operations.md do what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import jwt
import pytest

from tests.cluster import document
from tests.cluster.client import Client
from tests.cluster.release import NAME, is_ready
from tests.node import runtime, server
from tests.node.inside import minimal_rights
from tests.node.system import Cluster, System, installed, port_forward

pytestmark = pytest.mark.timeout(1200)  # the first test builds the images
POD, CLAIM = f"{NAME}-redis-0", f"data-{NAME}-redis-0"
ENDED = {"succeeded", "failed", "cancelled"}
PACE_SECONDS = 0.05
LARGE = 30_000_000


@pytest.fixture(scope="module")
def system(cluster: Cluster) -> Iterator[System]:
    """Install one release with one worker for all tests."""
    own = {"enabled": True, "url": "", "persistence": {"storageClass": server.volume(cluster)}}
    with installed(cluster, redis=own, workerPool={"minReplicas": 1, "maxReplicas": 1}) as running:
        running.ready(1)
        yield running


def test_it_runs_without_rights_and_keeps_its_file_on_its_volume(system: System, url: str) -> None:
    """Its namespace enforces Pod Security `restricted`."""
    user = Client(url)
    (job,) = system.succeeded(user, user.enqueue("wordcount", {"text": "a b a"}))
    assert job["result"]["words"] == 3
    assert system.may(POD) == minimal_rights(user=999, token=False)
    claim = system.release.kubectl.json("get", "pvc", CLAIM, f"--namespace={system.release.namespace}")
    folder = system.cluster.machine.folder / claim["spec"]["volumeName"]
    files = list((folder / "appendonlydir").iterdir())
    assert {path.suffix for path in files} == {".aof", ".rdb", ".manifest"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def _kill(system: System) -> None:
    (pod,) = system.release.pods("redis")
    (status,) = pod["status"]["containerStatuses"]
    runtime.kill(system.cluster.machine, status["containerID"])
    system.until(lambda: _restarts(system, "redis") == [status["restartCount"] + 1])


def _delete(system: System) -> None:
    before = system.release.uids("redis")
    system.kubectl("delete", "pod", POD)
    system.until(lambda: system.release.uids("redis") not in (set(), before))


@pytest.mark.parametrize("end", [_kill, _delete], ids=["killed", "deleted"])
def test_after_its_restart_all_accepted_jobs_exist_and_no_other_pod_restarted(
    system: System, url: str, end: Callable[[System], None]
) -> None:
    others = system.release.uids("api", "worker", "operator")
    user = Client(url)
    # They fill all slots of the lane, so that the others wait, for longer than it takes to send those.
    first = user.enqueue("sleep", *[{"seconds": 20}] * 5)
    with _sending(url, user) as accepted:
        system.until(lambda: len(accepted) > 20)
        assert user.states(first) == {"running"}
        end(system)
        accepted_before = len(accepted)
        system.until(lambda: len(accepted) > accepted_before + 20)
    system.succeeded(user, first + accepted)
    assert system.release.uids("api", "worker", "operator") == others
    assert _restarts(system, "api", "worker", "operator") == [0] * len(others)


def test_its_file_can_be_backed_up_and_restored(system: System, tmp_path: Path) -> None:
    """Runs the commands of docs/operations.md without MongoDB's. The file grows during the backup."""
    parts = document.commands("## Back up and restore")
    functions, back_up, restore = (
        document.without(parts[name], "mongo") for name in ("redis()", "Back", "Restore")
    )
    with port_forward(system) as url:
        user = Client(url)
        long = user.enqueue("sleep", *[{"seconds": 600}] * 5)
        waiting = user.enqueue("echo", *range(20))
        system.until(lambda: user.states(long) == {"running"})
        with _growing(system):
            document.run(system.release, functions + back_up, tmp_path)
        user.cancel(long)
        system.succeeded(user, waiting)
    stop, redis, bring_back = restore.partition("redis '")
    document.run(system.release, functions + stop, tmp_path)
    assert [system.release.pods(name, leaving=True) for name in ("api", "worker", "operator")] == [[], [], []]
    document.run(system.release, functions + redis + bring_back, tmp_path)
    system.ready(1)
    _rolled_out(system, "deployment/api")
    with port_forward(system) as url:
        user.at(url)
        lane = user.lane()
        assert lane["queued"] + lane["running"] == len(long + waiting)
        assert not user.states(long) & ENDED
        user.cancel(long)
        system.until(lambda: user.lane()["queued"] == 0)
        system.succeeded(user, waiting)


def test_its_volume_can_be_enlarged_without_a_restart(system: System, tmp_path: Path) -> None:
    """The claim requests the new size. No storage here could grow."""
    pods = system.release.uids("redis", "api", "worker", "operator")
    (script,) = document.commands("\nA larger volume needs").values()
    document.run(system.release, script, tmp_path)
    claim = system.release.kubectl.json("get", "pvc", CLAIM, f"--namespace={system.release.namespace}")
    (template,) = system.release.get("statefulset", "redis")["spec"]["volumeClaimTemplates"]
    assert {asked["spec"]["resources"]["requests"]["storage"] for asked in (claim, template)} == {"16Gi"}
    _rolled_out(system, "statefulset/redis")
    assert system.release.uids("redis", "api", "worker", "operator") == pods


def test_its_password_can_be_changed_without_loss(system: System, tmp_path: Path) -> None:
    with port_forward(system) as url:
        user = Client(url)
        job_ids = user.enqueue("sleep", *[{"seconds": 2}] * 10)
    script = document.commands("## Change keys and passwords")["Redis"]
    document.run(system.release, script.replace("<new>", "another-password"), tmp_path)
    _rolled_out(system, "statefulset/redis", "deployment/api", "deployment/worker")
    ping = ("exec", POD, "--", "sh", "-c", "REDISCLI_AUTH=$0 valkey-cli ping")
    assert "PONG" in system.kubectl(*ping, "another-password")
    with port_forward(system) as url:
        user.at(url)
        system.succeeded(user, job_ids)


def test_the_token_key_can_be_rotated_without_refusing_a_token(system: System, tmp_path: Path) -> None:
    key = "k" * 48
    script = document.commands("## Change keys and passwords")["JWT"].replace("<new>", key)
    learn, last, switch = script.partition("OLD=")
    with port_forward(system) as url:
        user = Client(url)
        old = user.headers["Authorization"].removeprefix("Bearer ")
    document.run(system.release, learn, tmp_path)
    with port_forward(system) as url:
        user.at(url)
        assert user.lane()["queued"] == 0
        # A token of the new key before all pods sign with it, as an already replaced pod would issue.
        claims = jwt.decode(old, options={"verify_signature": False})
        early = jwt.encode(claims, key, "HS256", headers={"kid": "2"})
        headers = {"Authorization": f"Bearer {early}"}
        assert httpx.get(f"{url}/api/queue", headers=headers).status_code == 200
    document.run(system.release, last + switch, tmp_path)
    with port_forward(system) as url:
        user.at(url)
        assert user.lane()["queued"] == 0
        new = Client(url).headers["Authorization"].removeprefix("Bearer ")
    assert [jwt.get_unverified_header(token)["kid"] for token in (old, new)] == ["1", "2"]


def _rolled_out(system: System, *targets: str) -> None:
    """Wait for the rollout of each target, given as kind/component."""
    for target in targets:
        system.kubectl("rollout", "status", target.replace("/", f"/{NAME}-"), "--timeout=100s")


def _restarts(system: System, *components: str) -> list[int]:
    """Return the restart counts of the containers of ready pods."""
    pods = [pod for component in components for pod in system.release.pods(component) if is_ready(pod)]
    return [status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]]


@contextmanager
def _growing(system: System) -> Iterator[None]:
    """Write all the time, to a file that is too large to be read between two writes."""

    def client(command: str) -> tuple[str, ...]:
        namespace, login = f"--namespace={system.release.namespace}", "export REDISCLI_AUTH=$REDIS_PASSWORD"
        return ("exec", namespace, POD, "--", "sh", "-c", f"{login}; {command}")

    kubectl = system.release.kubectl
    kubectl(*client(f"head -c {LARGE} /dev/zero | valkey-cli -x set large"))
    write = "valkey-cli -r 500 incr written >/dev/null"
    with kubectl.start(*client(f"until valkey-cli get stop | grep -q .; do {write}; done")) as writer:
        try:
            system.until(lambda: kubectl(*client("valkey-cli get written")).strip())
            yield
            assert writer.poll() is None
        finally:
            kubectl(*client("valkey-cli set stop now"))
        assert writer.wait(30) == 0


@contextmanager
def _sending(url: str, user: Client) -> Iterator[list[str]]:
    """Enqueue one request after another; yield the ids of the accepted jobs. Any answer but 200 and 503 fails the test."""
    accepted: list[str] = []
    wrong: list[str] = []
    stop = Event()

    def send() -> None:
        with httpx.Client(base_url=url, headers=user.headers, timeout=10) as client:
            while not stop.wait(PACE_SECONDS):
                answer = client.post("/api/enqueue", json={"request": len(accepted)})
                if answer.status_code == 200:
                    accepted.append(answer.json()["job_id"])
                elif answer.status_code != 503:
                    wrong.append(answer.text)

    thread = Thread(target=send)
    thread.start()
    try:
        yield accepted
    finally:
        stop.set()
        thread.join()
    assert wrong == []
