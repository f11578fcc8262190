"""`laneway dev`, the whole system on one machine, as its user sees it."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.dev.conftest import WAIT_SECONDS, Machine, machine_in

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that is up, for the tests that leave it so. Each has users of its own."""
    with machine_in(tmp_path_factory.mktemp("shared")) as machine:
        # Some leave jobs that run: the last test waits until these are interrupted, and until their leases have run out.
        machine.up(LANEWAY_SHUTDOWN_GRACE_SECONDS="5", LANEWAY_LEASE_SECONDS="10")
        yield machine


def test_a_restart_keeps_users_tokens_and_jobs_and_a_stop_waits_for_those_that_run(machine: Machine) -> None:
    """But a second stop, while the first waits, does not."""
    machine.up(LANEWAY_SHUTDOWN_GRACE_SECONDS="50")
    token = machine.token("ann")
    done = machine.enqueue(token, {"n": 1})
    machine.wait_until(lambda: machine.job(token, done)["state"] == "succeeded")
    assert stat.S_IMODE((machine.data / "jwt_secret").stat().st_mode) == 0o600
    secret = (machine.data / "jwt_secret").read_text()
    assert not [line for line in machine.running().values() if secret in line]
    short = machine.enqueue(token, {"seconds": 4}, "sleep")
    machine.wait_until(lambda: machine.job(token, short)["state"] == "running")
    assert machine.stop() == 0
    assert machine.running() == {}

    machine.up(LANEWAY_SHUTDOWN_GRACE_SECONDS="50")
    assert machine.job(token, done)["result"] == {"n": 1}
    assert machine.job(token, short)["state"] == "succeeded"
    assert machine.job(token, short)["attempts"] == 1
    again = machine.enqueue(token, {"n": 2})
    machine.wait_until(lambda: machine.job(token, again)["state"] == "succeeded")
    endless = machine.enqueue(token, {"seconds": 3600}, "sleep")
    machine.wait_until(lambda: machine.job(token, endless)["state"] == "running")
    assert machine.process is not None
    machine.process.send_signal(signal.SIGINT)
    machine.wait_until(lambda: "shutdown_started" in machine.terminal())
    begun = time.monotonic()
    assert machine.stop(signal.SIGINT) == 0
    assert time.monotonic() - begun < 25  # not the grace time
    assert "shutdown_hurried" in machine.terminal()
    assert machine.running() == {}
    events = [(line["event"], line.get("job_id")) for line in machine.log()]
    for job_id in (done, short, again):
        for event in ("accepted", "started", "succeeded"):
            assert events.count((event, job_id)) == 1


def test_the_link_it_prints_logs_its_administrator_in_once(shared: Machine) -> None:
    (code,) = re.findall(rf"^Log in as admin, .*: {shared.url}/#code=(\S+)$", shared.terminal(), re.MULTILINE)
    replies: list[httpx.Response] = []

    def is_over() -> bool:
        replies.append(shared.http.post("/api/login/link", json={"code": code}))
        return replies[-1].status_code != 503  # the administrator is being registered

    shared.wait_until(is_over)
    account = shared.ask("GET", "/api/account", replies[-1].json()["token"])
    assert (account["username"], account["role"]) == ("admin", "admin")
    assert shared.http.post("/api/login/link", json={"code": code}).status_code == 403
    assert stat.S_IMODE((shared.data / "admin_password").stat().st_mode) == 0o600
    password = (shared.data / "admin_password").read_text()
    reply = shared.http.post("/api/login", json={"username": "admin", "password": password})
    assert reply.status_code == 200
    log = shared.folder / "logs/queue_system.log"
    shared.wait_until(lambda: log.read_text().count("log_in_succeeded") >= 2)  # its lines follow the replies
    logged = log.read_text()
    assert code not in logged
    assert password not in logged + shared.terminal()


def test_the_session_it_prints_can_be_copied(shared: Machine) -> None:
    done = subprocess.run(["bash", "-euc", shared.curl_session()], capture_output=True, text=True, check=True)
    assert '"job_id"' in done.stdout
    assert '"wordcount"' in done.stdout


def test_the_session_in_the_readme_does_what_it_says(shared: Machine) -> None:
    session = next(
        block for block in README.read_text().split("```bash\n") if block.startswith("URL=")
    ).split("```")[0]
    session = session.replace("http://127.0.0.1:8000", shared.url)
    done = subprocess.run(["bash", "-euc", session], capture_output=True, text=True, check=True)
    registered, _, _, accepted, bobs, anns = done.stdout.splitlines()
    assert json.loads(registered) == {"message": "registered ann"}
    (job,) = json.loads(bobs)["jobs"]
    assert job["job_id"] == json.loads(accepted)["job_id"]
    assert job["result"]["words"] == 6
    assert json.loads(anns)["queued"] > 500


@pytest.mark.parametrize("victim", ["laneway.api", "laneway.worker", "valkey-server", "secantus_program"])
def test_a_killed_child_restarts_and_nothing_is_lost(shared: Machine, victim: str) -> None:
    token = shared.token("u" + secrets.token_hex(4))
    before = shared.enqueue(token, "before")
    logged, shown = len(shared.log()), shared.terminal().count("child_restarted")
    os.kill(shared.pid(victim), signal.SIGKILL)

    def works() -> bool:
        try:
            return shared.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    shared.wait_until(lambda: shared.terminal().count("child_restarted") > shown and works())
    after = shared.enqueue(token, "after")
    for job_id in (before, after):
        shared.wait_until(lambda job_id=job_id: shared.job(token, job_id)["state"] == "succeeded")  # type: ignore[misc]
    assert {line["event"] for line in shared.log()[logged:] if line["service"] == "dev"} >= {
        "child_ended",
        "child_restarted",
    }


def test_a_second_instance_on_the_same_data_is_refused(shared: Machine, machine: Machine) -> None:
    assert shared.process is not None
    assert machine.start(LANEWAY_DATA_DIR=str(shared.data)).wait(WAIT_SECONDS) == 1
    assert f"process {shared.process.pid} already runs on the data directory" in machine.terminal()
    assert shared.http.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "variable",
    [
        "LANEWAY_API_PORT",
        pytest.param("LANEWAY_API_METRICS_PORT", marks=pytest.mark.thorough),
        pytest.param("LANEWAY_WORKER_METRICS_PORT", marks=pytest.mark.thorough),
    ],
)
def test_a_busy_port_is_named_with_its_setting(machine: Machine, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert machine.start(**{variable: str(port)}).wait(WAIT_SECONDS) == 1
    assert machine.terminal() == f"laneway dev: port {port} is in use; set {variable} to another\n"


def test_one_port_for_both_programs_is_refused(machine: Machine) -> None:
    """Both would find the port free, and the second program would fail with nothing but a line in the log."""
    port = machine.environment["LANEWAY_API_PORT"]
    assert machine.start(LANEWAY_WORKER_METRICS_PORT=port, LANEWAY_API_HOST="0.0.0.0").wait(WAIT_SECONDS) == 1
    assert machine.terminal() == (
        f"laneway dev: port {port} is set twice: LANEWAY_API_PORT and LANEWAY_WORKER_METRICS_PORT; "
        "set one of them to another\n"
    )


def test_a_wrong_setting_is_named(machine: Machine) -> None:
    assert machine.start(LANEWAY_LANE_CONCURRENCY="0").wait(WAIT_SECONDS) == 2
    assert "LANEWAY_LANE_CONCURRENCY" in machine.terminal()


def test_a_log_file_that_cannot_be_written_is_named(machine: Machine) -> None:
    path = machine.output / "no-folder" / "log"
    assert machine.start(LANEWAY_LOG_FILE=str(path)).wait(WAIT_SECONDS) == 1
    assert machine.terminal().startswith(f"laneway dev: cannot write the log file {path}: ")
    assert machine.terminal().endswith("; set LANEWAY_LOG_FILE to another\n")


def test_a_failed_start_is_explained_and_leaves_nothing_running(machine: Machine) -> None:
    assert machine.start(LANEWAY_HANDLERS="no_such_module").wait(WAIT_SECONDS) == 1
    assert "no_such_module" in machine.terminal()
    assert "while starting; see logs/queue_system.log" in machine.terminal()
    assert machine.running() == {}


@pytest.mark.thorough  # test_reload runs on given servers
def test_given_servers_replace_the_embedded_ones(
    machine: Machine, redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> None:
    (machine.folder / ".env").write_text(f"LANEWAY_REDIS_URL={redis_url}\n")
    machine.up(LANEWAY_MONGO_URL=mongo_url, LANEWAY_KEY_PREFIX=prefix, LANEWAY_MONGO_DATABASE=mongo_database)
    assert not [line for line in machine.running().values() if "valkey" in line or "mongo" in line]
    token = machine.token("ann")
    job_id = machine.enqueue(token, 1)
    machine.wait_until(lambda: machine.job(token, job_id)["state"] == "succeeded")
    assert machine.stop() == 0


def test_no_child_outlives_a_killed_parent(shared: Machine) -> None:
    """The last test of this module, since it ends what the others share."""
    assert shared.process is not None
    assert len(shared.running()) > 4
    shared.process.kill()
    shared.process.wait()
    shared.wait_until(lambda: not shared.running())
