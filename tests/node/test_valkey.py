"""The chart's own Valkey on a node: its pod comes and goes, its volume stays, and the commands of docs/operations.md do what they say."""

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
from tests.node.inside import nothing
from tests.node.system import Cluster, System, installed, port_forward

pytestmark = pytest.mark.timeout(1200)  # the first of them builds the images
POD, CLAIM = f"{NAME}-redis-0", f"data-{NAME}-redis-0"
ENDED = {"succeeded", "failed", "cancelled"}
PACE_SECONDS = 0.05
LARGE = 30_000_000


@pytest.fixture(scope="module")
def system(cluster: Cluster) -> Iterator[System]:
    """One release for all tests, with one worker."""
    own = {"enabled": True, "url": "", "persistence": {"storageClass": server.volume(cluster)}}
    with installed(cluster, redis=own, workerPool={"minReplicas": 1, "maxReplicas": 1}) as running:
        running.ready(1)
        yield running


def test_it_runs_without_rights_and_keeps_its_file_on_its_volume(system: System, url: str) -> None:
    """Its namespace refuses what Pod Security `restricted` does not allow."""
    user = Client(url)
    (job,) = system.succeeded(user, user.enqueue("wordcount", {"text": "a b a"}))
    assert job["result"]["words"] == 3
    assert system.may(POD) == nothing(user=999, token=False)
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
def test_what_it_had_accepted_is_there_when_it_is_back_and_all_others_go_on(
    system: System, url: str, end: Callable[[System], None]
) -> None:
    others = system.release.uids("api", "worker", "operator")
    user = Client(url)
    first = user.enqueue("sleep", *[{"seconds": 3}] * 5)  # all slots of the lane, so that the others wait
    with _sending(url, user) as accepted:
        system.until(lambda: len(accepted) > 20)
        assert user.states(first) == {"running"}
        end(system)
        had = len(accepted)
        system.until(lambda: len(accepted) > had + 20)
    system.succeeded(user, first + accepted)
    assert system.release.uids("api", "worker", "operator") == others
    assert _restarts(system, "api", "worker", "operator") == [0] * len(others)


def test_a_copy_of_its_file_can_be_made_and_brought_back(system: System, tmp_path: Path) -> None:
    """As docs/operations.md has it, without MongoDB's commands. The file grows while the copy is made."""
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


def test_its_volume_can_be_made_larger_and_its_pod_stays(system: System, tmp_path: Path) -> None:
    """As far as it goes without a storage that grows: the claim asks for it."""
    pods = system.release.uids("redis", "api", "worker", "operator")
    (script,) = document.commands("\nA larger volume").values()
    document.run(system.release, script, tmp_path)
    claim = system.release.kubectl.json("get", "pvc", CLAIM, f"--namespace={system.release.namespace}")
    (template,) = system.release.get("statefulset", "redis")["spec"]["volumeClaimTemplates"]
    assert {asked["spec"]["resources"]["requests"]["storage"] for asked in (claim, template)} == {"16Gi"}
    _rolled_out(system, "statefulset/redis")
    assert system.release.uids("redis", "api", "worker", "operator") == pods


def test_its_password_can_be_changed_and_nothing_is_lost(system: System, tmp_path: Path) -> None:
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


def test_the_key_of_tokens_can_be_changed_and_none_is_refused(system: System, tmp_path: Path) -> None:
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
        # Of the new key before it signs: as a pod gives it out that has been replaced before others.
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
    """Of kind/component each."""
    for target in targets:
        system.kubectl("rollout", "status", target.replace("/", f"/{NAME}-"), "--timeout=100s")


def _restarts(system: System, *components: str) -> list[int]:
    """Of their containers; nothing for those that are not ready."""
    pods = [pod for component in components for pod in system.release.pods(component) if is_ready(pod)]
    return [status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]]


@contextmanager
def _growing(system: System) -> Iterator[None]:
    """Something is written all the time, to a file that is too large to be read in between."""

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
    """One request after another, all the time; the jobs of those that were accepted. The others were answered 503."""
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
