"""The subcommands that speak to an API, against the real one, as a person or a script uses them."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from laneway.__main__ import app
from laneway.cli.fields import payload_of
from laneway.cli.session import profile_path
from laneway.dev.embedded import free_port
from laneway.lanes.commands import Enqueue, Finish, Report, ReportKind
from laneway.lanes.model import JobState, Outcome
from laneway.lanes.run_log import RunEnd, RunOutcome, encode_run, line
from laneway.storage.users import Role
from tests.api.running import Api
from tests.lanes.driver import new_job

PASSWORD = "correct horse battery"


class Terminal:
    """A user's terminal: an environment with a home of its own."""

    def __init__(self, home: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LANEWAY_TOKEN", "LANEWAY_PROFILE", "LANEWAY_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
        monkeypatch.setenv("LANEWAY_URL", url)
        self.env = monkeypatch

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> Result:
        result = CliRunner().invoke(app, arguments, input=stdin)
        assert result.exit_code == code, f"{result.output}{result.exception!r}"
        return result

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run(*arguments, "--json", code=code).stdout.splitlines()]


@pytest.fixture
def terminal(tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, api.url, monkeypatch)


@pytest.fixture
def user(terminal: Terminal, api: Api) -> str:
    """Logged in by a token in the environment."""
    name = api.user()
    terminal.env.setenv("LANEWAY_TOKEN", api.auth(name)["authorization"].removeprefix("Bearer "))
    return name


def test_register_log_in_and_out(terminal: Terminal, api: Api) -> None:
    name = api.user()
    terminal.run("register", "--username", name, stdin=f"{PASSWORD}\n")
    said = terminal.run("login", "--username", name, "--password", PASSWORD).stdout
    path = profile_path("default")
    assert str(path) in said
    assert PASSWORD not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert terminal.run("queue").stdout == "active: 0 waiting, 0 running in 5 slots\n"
    terminal.env.setenv("LANEWAY_PROFILE", "other")
    assert "laneway login" in terminal.run("queue", code=2).output
    terminal.env.delenv("LANEWAY_PROFILE")
    terminal.run("logout")
    assert not path.exists()
    terminal.run("queue", code=2)


def test_keys(terminal: Terminal, api: Api) -> None:
    name = api.user()
    terminal.run("register", "--username", name, "--password", PASSWORD)
    terminal.run("login", "--username", name, stdin=f"{PASSWORD}\n")
    secret = terminal.run("keys", "create", "importer", "--days", "0").stdout.strip()
    (made,) = terminal.json("keys", "create", "robot", "--scope", "read", "--scope", "write")
    assert (made["name"], made["scopes"]) == ("robot", ["read", "write"])
    assert [key["name"] for key in terminal.json("keys", "list")] == ["importer", "robot"]
    assert secret not in terminal.run("keys", "list").stdout
    terminal.env.setenv("LANEWAY_PROFILE", "program")
    assert f"logged in as {name}" in terminal.run("login", "--key", stdin=f"{secret}\n").stdout
    terminal.run("enqueue", "echo", "1")
    terminal.run("keys", "list", code=3)
    path = profile_path("program")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    terminal.run("logout")
    assert not path.exists()
    terminal.env.setenv("LANEWAY_PROFILE", "default")
    assert terminal.json("keys", "list")[0]["last_used_at"] is not None, "the key is still there"
    assert terminal.run("keys", "revoke", made["key_id"]).stdout == f"revoked {made['key_id']}\n"
    terminal.run("keys", "revoke", made["key_id"], code=3)
    terminal.run("keys", "list", "--user", name, code=3)
    token = api.auth(api.user(), Role.ADMIN)["authorization"].removeprefix("Bearer ")
    terminal.env.setenv("LANEWAY_TOKEN", token)
    (left,) = terminal.json("keys", "list", "--user", name)
    terminal.run("keys", "revoke", left["key_id"], "--user", name)
    assert terminal.json("keys", "list", "--user", name) == []


def test_account(terminal: Terminal, api: Api) -> None:
    name, new = api.user(), "another horse battery"
    terminal.run("register", "--username", name, "--password", PASSWORD)
    terminal.run("login", "--username", name, "--password", PASSWORD)
    assert terminal.run("account", "show").stdout == f"{name} (user)\n"
    before = profile_path("default").read_text()
    terminal.run("account", "password", stdin=f"{PASSWORD}\n{new}\n{new}\n")
    assert profile_path("default").read_text() != before
    terminal.run("queue")
    terminal.run("account", "delete", "--password", PASSWORD, "--yes", code=2)
    terminal.run("account", "delete", "--password", new, stdin="n\n", code=1)
    assert f"deleted {name}" in terminal.run("account", "delete", "--password", new, "--yes").stdout
    assert not profile_path("default").exists()


def test_types(terminal: Terminal, user: str) -> None:
    """A list, one with all that is known of it, and none."""
    assert {"echo", "thumbnail"} < {type_["name"] for type_ in terminal.json("types")}
    assert "Return the payload." in terminal.run("types").stdout
    (echo,) = terminal.json("types", "echo")
    assert (echo["name"], echo["request"], echo["max_attempts"]) == ("echo", {}, 3)
    text = terminal.run("types", "thumbnail").stdout
    assert "soft time limit  60 s" in text
    assert "time limit       none" in text
    assert "laneway types" in terminal.run("types", "ehco", code=3).output


def test_enqueue_show_cancel(terminal: Terminal, user: str, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text('{"n": 9007199254740993}')
    for payload, stdin in (
        ('{"n": 9007199254740993}', ""),
        ("-", '{"n": 9007199254740993}'),
        (f"@{tmp_path}/payload.json", ""),
    ):
        accepted = terminal.run("enqueue", "echo", payload, stdin=stdin).stdout.strip()
        (job,) = terminal.json("show", accepted)
        assert (job["user"], job["request"], job["state"]) == (user, {"n": 9007199254740993}, "queued")
    job_id = terminal.json("jobs")[0]["job_id"]
    assert "queued" in terminal.run("show", job_id).stdout
    assert terminal.run("why", job_id).stdout.endswith(".\n")
    assert terminal.json("why", job_id)[0]["facts"]["in_front"] == 2
    assert len(terminal.json("jobs")) == 3
    assert len(terminal.json("jobs", "--limit", "2", "--state", "queued")) == 2
    assert job_id in terminal.run("jobs").stdout
    assert [job["job_id"] for job in terminal.json("jobs", "--oldest", "--type", "echo")][-1] == job_id
    assert terminal.json("jobs", "--until", "2026-01-01") == []
    assert len(terminal.json("jobs", "--since", "2026-01-01", "--id", job_id, "--state", "queued")) == 1
    terminal.run("jobs", "--user", "ann", code=3)
    assert terminal.run("cancel", job_id).stdout == "cancelled\n"
    terminal.run("cancel", job_id, code=2)
    again = terminal.run("retry", job_id).stdout.strip()
    assert terminal.json("show", again)[0]["request"] == {"n": 9007199254740993}
    edited = terminal.json("retry", job_id, '{"n": 1}')[0]["job_id"]
    assert terminal.json("show", edited)[0]["request"] == {"n": 1}
    terminal.run("retry", again, code=2)
    terminal.run("show", "0" * 25, code=3)
    assert "not JSON" in terminal.run("enqueue", "echo", "{", code=2).output
    refusal = terminal.run("enqueue", "no-such-type", code=2).output
    assert "known types: " in refusal
    assert "#/body/type: unknown type" in refusal
    refusal = terminal.run("enqueue", "echo", "1", "--unique-key", "a key", code=2).output
    assert refusal.count("#/body/unique_key") == 1, "its text has the fault, which is not printed again"


def test_a_payload_is_given_by_its_fields(terminal: Terminal, user: str) -> None:
    job_id = terminal.run(
        "enqueue", "sleep", "--seconds", "0.5", "--note=--x", "--delay", "60"
    ).stdout.strip()
    (job,) = terminal.json("show", job_id)
    assert job["request"] == {"seconds": 0.5, "note": "--x"}
    assert job["not_before"]
    assert "neither" in terminal.run("enqueue", "sleep", "{}", "{}", code=2).output


SCHEMA = {
    "properties": {
        "name": {"type": "string"},
        "times": {"type": "integer"},
        "max_size": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "urgent": {"type": "boolean"},
        "mode": {"$ref": "#/$defs/Mode"},
        "tags": {"type": "array"},
    },
    "$defs": {"Mode": {"type": "string", "enum": ["1", "2"]}},
}


def test_fields_are_read_as_the_schema_says() -> None:
    line = '--name 12 --times 2 --max-size null --note null --urgent --mode 1 --tags=["a"]'
    assert payload_of(line.split(), SCHEMA) == {
        "name": "12",
        "times": 2,
        "max_size": None,
        "note": None,
        "urgent": True,
        "mode": "1",
        "tags": ["a"],
    }
    assert payload_of(["--times", "many"], SCHEMA) == {"times": "many"}, "the API says what is wrong with it"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--nmae", "Ada"], "no field 'nmae'; it has name, times"),
        (["--name"], "--name needs a value"),
        (["--name", "Ada", "Bob"], "'Bob' is neither a field"),
    ],
)
def test_fields_that_cannot_be_meant_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        payload_of(arguments, SCHEMA)


def test_jobs_can_be_delayed(terminal: Terminal, user: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text("1\n2\n")
    moment = datetime.now().astimezone().replace(microsecond=0) + timedelta(hours=1)
    local = moment.replace(tzinfo=None).isoformat()
    ids = [
        job["job_id"]
        for job in terminal.json("enqueue", "echo", "--lines", str(lines), "--not-before", local)
    ]
    ids += [terminal.run("enqueue", "echo", "3", "--delay", "600").stdout.strip()]
    moments = [datetime.fromisoformat(terminal.json("show", job_id)[0]["not_before"]) for job_id in ids]
    assert moments[:2] == [moment, moment + timedelta(microseconds=1)]
    assert moments[2] < moment
    assert "not due" in terminal.run("why", ids[0]).stdout
    assert terminal.run("queue").stdout.endswith("; 3 delayed\n")
    terminal.run("enqueue", "echo", "1", "--delay", "-1", code=2)
    terminal.run("enqueue", "echo", "1", "--delay", "1", "--not-before", local, code=2)


def test_lines_are_enqueued_in_order_and_once(terminal: Terminal, user: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text("1\n\n2\n3\n")
    first = terminal.json("enqueue", "echo", "--lines", str(lines), "--key", "k")
    assert terminal.json("enqueue", "echo", "--lines", str(lines), "--key", "k") == first
    requests = [terminal.json("show", job["job_id"])[0]["request"] for job in first]
    assert requests == [1, 2, 3]
    lines.write_text("1\nno\n")
    assert "line 2 is not JSON" in terminal.run("enqueue", "echo", "--lines", str(lines), code=2).output


def test_lines_are_enqueued_with_a_bar_beside_a_pipe(terminal: Terminal, user: str, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_text("1\n\n2\n3\n")
    command = [str(Path(sys.executable).parent / "laneway"), "enqueue", "echo", "--lines", "lines.jsonl"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color"}
    with (
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
        ) as process,
    ):
        os.close(theirs)
        assert process.stdout
        shown = b""
        # The terminal is read first: on a slow machine the bar is drawn more often than it can hold unread.
        with suppress(OSError):  # the other side has been closed
            while piece := screen.read(65_536):
                shown += piece
        ids = process.stdout.read().split()
    assert process.returncode == 0
    assert [terminal.json("show", job_id)[0]["request"] for job_id in ids] == [1, 2, 3]
    assert b"enqueue echo" in shown
    assert b"3/3" in shown


def test_a_unique_key_makes_one_job_at_a_time(
    terminal: Terminal, user: str, api: Api, tmp_path: Path
) -> None:
    send = ("enqueue", "echo", "1", "--unique-key", "k")
    first = terminal.run(*send)
    again = terminal.run(*send)
    assert again.stdout == first.stdout
    assert "no job was made" in again.stderr
    assert terminal.json(*send)[0]["duplicate"]
    job_id = first.stdout.strip()
    assert "unique" in terminal.run("show", job_id).stdout
    lines = tmp_path / "lines.jsonl"
    lines.write_text("1\n2\n")
    terminal.run("enqueue", "echo", "--lines", str(lines), "--unique-key", "k", code=2)
    api.lanes.finish(*api.start(user))
    edited = terminal.run("retry", job_id, "2").stdout.strip()
    assert terminal.json("show", edited)[0]["unique_key"] == "k"
    assert "has not ended" in terminal.run("retry", job_id, "3", code=2).stderr
    created = terminal.json("schedules", "create", "s", "echo", "--every", "60", "--unique-key", "k")
    assert created[0]["unique_key"] == "k"


def test_the_exit_code_says_how_a_job_ended(terminal: Terminal, user: str, api: Api) -> None:
    good, bad = api.end(user), api.end(user, JobState.FAILED, b'{"type":"E","message":"no"}')
    assert terminal.json("wait", good)[0]["state"] == "succeeded"
    assert terminal.json("wait", bad, code=1)[0]["error"] == {"type": "E", "message": "no"}
    job_id = api.enqueue(user)
    terminal.run("wait", job_id, "--timeout", "0.05", code=124)
    terminal.run("enqueue", "echo", "--wait", "--timeout", "0.05", code=124)


def test_what_a_job_has_logged(terminal: Terminal, user: str, api: Api) -> None:
    job_id = api.enqueue(user)
    for state, text in ((JobState.RETRYING, "first"), (JobState.SUCCEEDED, "now \x1b[2J[red]ä")):
        (lease,) = api.start(user)
        end = RunEnd(2, RunOutcome.FAILED, rb'{"type":"E","message":"no \u001b[2J"}')
        lines = [line(1, 1_500_000, "warning", text)]
        log = encode_run(lease.attempt, 1, "w1", lines, end if state is JobState.RETRYING else None)
        assert api.lanes.run(Finish("w1", [Outcome(lease, state, 1, b"1", 0, log)])) == [True]
    first, second = "00:00:01.500 warning  first", "00:00:01.500 warning  now \\x1b[2J[red]ä"
    head = "-- attempt 1, failed: E: no \\x1b[2J"
    assert terminal.run("logs", job_id).stdout.splitlines() == [head, first, "-- attempt 2", second]
    assert terminal.run("logs", job_id, "--follow").stdout.splitlines() == [first, second]
    assert [run["attempt"] for run in terminal.json("logs", job_id)[0]["runs"]] == [1, 2]
    assert next(line["text"] for line in terminal.json("logs", job_id, "-f")) == "first"
    terminal.run("logs", "0" * 25, code=3)
    terminal.run("logs", job_id, "--user", user, code=3)
    assert "only to the user" in terminal.run("logs", job_id, "--user", user, "-f", code=2).output


def test_an_interrupted_run_says_so_once(terminal: Terminal, user: str, api: Api) -> None:
    job_id = api.enqueue(user)
    (lease,) = api.start(user)
    log = encode_run(lease.attempt, 1, "w1", [], RunEnd(2, RunOutcome.INTERRUPTED, b"the worker stops"))
    assert api.lanes.run(Finish("w1", [Outcome(lease, JobState.QUEUED, 1, b"", 0, log)])) == [True]
    assert terminal.run("logs", job_id).stdout.splitlines() == ["-- attempt 1, interrupted: the worker stops"]


def test_an_api_that_is_away(terminal: Terminal, user: str) -> None:
    terminal.env.setenv("LANEWAY_URL", f"http://127.0.0.1:{free_port()}")
    terminal.env.setattr("laneway.cli.session.RETRY_SECONDS", 0.2)
    result = terminal.run("queue", code=4)
    assert result.stderr.startswith("laneway: the API cannot be reached")
    assert result.stdout == "", "retries are not reported there"


def test_administrators(terminal: Terminal, user: str, api: Api) -> None:
    terminal.run("lanes", code=3)
    api.enqueue(user)
    dead = api.end(api.user(), JobState.FAILED, b'{"type":"E","message":"no"}')
    api.archive()
    token = api.auth(api.user(), Role.ADMIN)["authorization"].removeprefix("Bearer ")
    terminal.env.setenv("LANEWAY_TOKEN", token)
    terminal.run("pause", user)
    (lane,) = [lane for lane in terminal.json("lanes", "--sort", "wait") if lane["user"] == user]
    assert lane.pop("waits_since")
    assert lane == {"user": user, "jobs": 1, "taken": 0, "slots": 0, "failures": None}
    assert "paused" in terminal.run("lanes").stdout
    assert [(one["action"], one["user"]) for one in terminal.json("audit", "--limit", "1")] == [
        ("lane_paused", user)
    ]
    assert "lane_paused" in terminal.run("audit").stdout
    terminal.run("resume", user)
    terminal.run("limit", user, "2")
    assert [lane["slots"] for lane in terminal.json("lanes") if lane["user"] == user] == [2]
    terminal.run("limit", user)
    terminal.run("purge", user, stdin="n\n", code=1)
    assert terminal.json("purge", user, "--yes") == [{"cancelled": 1}]
    (letter,) = [job for job in terminal.json("dead", "list") if job["job_id"] == dead]
    listed = terminal.run("dead", "list").stdout.splitlines()
    (line,) = [line.split() for line in listed if dead in line]
    assert line[:3] == [letter["user"], dead, "echo"], "a pipe gets whole lines"
    assert line[-2:] == ["E:", "no"]
    assert dead in terminal.run("failures", "--user", letter["user"]).stdout
    (group,) = terminal.json("failures", "--user", letter["user"])
    assert (group["failure"], group["count"]) == ("E: no", 1)
    drop = ("dead", "drop-all", "--user", letter["user"], "--failure", "E: no")
    assert terminal.run(*drop, "--dry-run").stdout == "1 job matches\n"
    terminal.run(*drop, stdin="n\n", code=1)
    assert len(terminal.json("dead", "retry", letter["user"], dead)[0]["job_id"]) == 25
    assert terminal.run("dead", "retry-all", "--user", user, "--dry-run").stdout == "0 jobs match\n"
    assert terminal.json("dead", "retry-all", "--user", user)[0]["count"] == 0
    terminal.run("dead", "drop", letter["user"], dead, code=3)
    terminal.run("role", "nobody-of-this-name", "admin", code=3)
    terminal.run("users")


def test_all_that_match(terminal: Terminal, user: str, api: Api) -> None:
    for type_ in ("echo", "echo", "sleep"):
        api.enqueue(user, type=type_)
    for wrong in (["cancel"], ["cancel", "id", "--all"], ["cancel", "id", "--type", "echo"]):
        terminal.run(*wrong, code=2)
    cancel = ("cancel", "--all", "--type", "echo", "--state", "queued")
    assert terminal.run(*cancel, "--dry-run").stdout == "2 jobs match\n"
    terminal.run(*cancel, stdin="n\n", code=1)
    assert len(terminal.json("jobs", "--state", "queued")) == 3
    assert terminal.run(*cancel, "--yes").stdout == "finished: 2 cancelled or asked to stop, 0 not\n"
    assert [job["type"] for job in terminal.json("jobs", "--state", "queued")] == ["sleep"]
    api.lanes.finish(*api.start(user), state=JobState.FAILED, body=b'{"type":"E"}')
    api.lanes.run(Enqueue(user, [new_job(type_="gone")]))
    api.lanes.finish(*api.start(user), state=JobState.FAILED, body=b'{"type":"E"}')
    api.archive()
    done = terminal.run("retry-all", "--yes", code=1)
    assert done.stdout == "finished: 1 enqueued again, 1 not\n"
    assert "1: known types" in done.stderr
    (id_,) = terminal.json("retry-all", "--yes", "--detach")
    (view,) = terminal.json("operations", "wait", id_["operation_id"], code=1)
    assert view["not_done"] == 1
    assert terminal.json("operations", "show", id_["operation_id"]) == [view]
    assert [one["action"] for one in terminal.json("operations", "list")] == ["retry", "retry", "cancel"]
    assert "cancelled or asked to stop" not in terminal.run("operations", "list").stdout
    terminal.run("operations", "cancel", id_["operation_id"], code=2)
    terminal.run("operations", "list", "--everybody", code=3)


def test_administrators_observe(terminal: Terminal, api: Api) -> None:
    terminal.env.setenv("LANEWAY_TOKEN", api.admin()["authorization"].removeprefix("Bearer "))
    (found,) = terminal.json("overview", "--hours", "2", "--step", "10")
    assert len(found["points"]) in (12, 13)
    assert "accepted" in found["total"]
    assert "ACCEPTED" in terminal.run("overview").stdout
    report = {
        "host": "pod-1",
        "processes": [],
        "in_flight": 0,
        "stopping": False,
        "problems": {"pool": "none"},
    }
    report["started_at"] = "2026-01-01T00:00:00Z"
    api.lanes.run(Report(ReportKind.WORKERS, "pod-1:7", report, 60))
    assert [(worker["name"], worker["jobs"]) for worker in terminal.json("workers")] == [("pod-1:7", [])]
    assert "pod-1:7" in terminal.run("workers").stdout
    assert terminal.json("pools") == []
    assert "no operator" in terminal.run("pools").stdout


def test_the_ring(terminal: Terminal, api: Api, user: str) -> None:
    terminal.env.setenv("LANEWAY_TOKEN", api.admin()["authorization"].removeprefix("Bearer "))
    api.lanes.enqueue(user, 3)
    api.start(user)
    other = api.user()
    api.lanes.enqueue(other, 2)
    (found,) = terminal.json("ring", "--limit", "100")
    place = [lane["user"] for lane in found["lanes"]].index(other) + 1
    printed = terminal.run("ring", "--limit", "100").stdout
    (line,) = [line.split() for line in printed.splitlines() if other in line]
    assert line[:6] == [str(place), other, "2", "0", "of", "5"]
    (line,) = [line.split() for line in printed.splitlines() if user in line]
    assert line == [user, "3"], "it is served, and has nothing more that could start"
    assert f"{found['length']} lanes in the ring" in printed


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b"])
def test_a_profile_has_a_plain_name(name: str, terminal: Terminal) -> None:
    terminal.env.setenv("LANEWAY_PROFILE", name or "/")
    terminal.run("queue", code=2)


def test_schedules(terminal: Terminal, api: Api, user: str) -> None:
    created = terminal.run(
        "schedules",
        "create",
        "nightly",
        "echo",
        '{"n":1}',
        "--cron",
        "0 3 * * *",
        "--time-zone",
        "Asia/Tokyo",
    )
    assert "nightly fires at 0 3 * * * Asia/Tokyo, next 2" in created.stdout
    terminal.run("schedules", "create", "often", "echo", "--every", "60", "--missed", "all")
    terminal.run("schedules", "create", "never", "echo", code=2)
    listed = terminal.json("schedules", "list")
    assert [(schedule["name"], schedule["missed"]) for schedule in listed] == [
        ("nightly", "once"),
        ("often", "all"),
    ]
    assert "every 60 s" in terminal.run("schedules", "list").stdout
    assert len(terminal.run("schedules", "next", "nightly", "--count", "3").stdout.splitlines()) == 3
    (run,) = terminal.json("schedules", "run", "nightly")
    job = terminal.json("show", run["job_id"])[0]
    assert (job["request"], job["schedule"]) == ({"n": 1}, "nightly")
    assert "schedule  nightly" in terminal.run("show", run["job_id"]).stdout
    assert [found["job_id"] for found in terminal.json("jobs", "--schedule", "nightly")] == [run["job_id"]]
    assert terminal.json("jobs", "--schedule", "often") == []
    terminal.run("schedules", "pause", "often")
    assert "paused" in terminal.run("schedules", "list").stdout
    terminal.run("schedules", "resume", "often")
    terminal.run("schedules", "delete", "often")
    terminal.run("schedules", "pause", "often", code=3)
    terminal.env.setenv("LANEWAY_TOKEN", api.tokens.issue(api.user(), Role.ADMIN))
    assert [s["name"] for s in terminal.json("schedules", "list", "--user", user)] == ["nightly"]
    for verb in ("pause", "resume", "delete"):
        terminal.run("schedules", verb, "nightly", "--user", user)
    assert terminal.json("schedules", "list", "--user", user) == []


def test_webhooks(terminal: Terminal, api: Api, user: str) -> None:
    created = terminal.run("webhooks", "create", "http://127.0.0.1:9/", "--state", "failed", "--type", "echo")
    webhook_id, secret = created.stdout.split()
    assert secret.startswith("whsec_")
    assert terminal.run("webhooks", "rotate", webhook_id).stdout.startswith("whsec_")
    (listed,) = terminal.json("webhooks", "list")
    assert (listed["webhook_id"], listed["states"], listed["types"]) == (webhook_id, ["failed"], ["echo"])
    assert webhook_id in terminal.run("webhooks", "list").stdout
    assert terminal.run("webhooks", "test", webhook_id).stdout.startswith("msg_")
    terminal.run("webhooks", "disable", webhook_id)
    assert terminal.json("webhooks", "list")[0]["disabled_reason"] == "you have disabled it"
    terminal.run("webhooks", "enable", webhook_id)
    with terminal.env.context() as env:
        env.setenv("LANEWAY_TOKEN", api.tokens.issue(api.user(), Role.ADMIN))
        terminal.run("webhooks", "disable", webhook_id, "--user", user)
        (listed,) = terminal.json("webhooks", "list", "--user", user)
        assert listed["disabled_reason"] == "an administrator has disabled it"
    assert "ask an administrator" in terminal.run("webhooks", "enable", webhook_id, code=3).stderr
    with terminal.env.context() as env:
        env.setenv("LANEWAY_TOKEN", api.tokens.issue(api.user(), Role.ADMIN))
        terminal.run("webhooks", "enable", webhook_id, "--user", user)
    terminal.run("webhooks", "create", "https://10.0.0.1/", code=2)
    terminal.run("webhooks", "delete", webhook_id)
    terminal.run("webhooks", "delete", webhook_id, code=3)


class Keyring(ModuleType):
    """The system's keyring, as the package `keyring` presents it."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, name: str, token: str) -> None:
        self.kept[service, name] = token

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


def test_where_there_is_a_keyring_it_keeps_the_token(terminal: Terminal, api: Api) -> None:
    name, keyring = api.user(), Keyring()
    terminal.env.setitem(sys.modules, "keyring", keyring)
    terminal.run("register", "--username", name, "--password", PASSWORD)
    terminal.run("login", "--username", name, "--password", PASSWORD)
    (token,) = keyring.kept.values()
    assert token not in profile_path("default").read_text()
    assert terminal.json("account", "show")[0]["username"] == name
    terminal.run("logout")
    assert keyring.kept == {}
    assert not profile_path("default").exists()


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))
    if path and not hasattr(group, "commands"):
        yield " ".join(path), group


def test_every_command_prints_json_on_demand() -> None:
    """Except the programs, and what is there for people alone."""
    without = {
        name
        for name, command in commands(typer.main.get_command(app))
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == {"dev", "api", "worker", "operator", "init", "top"}


def test_what_was_done_is_json_on_demand(terminal: Terminal, user: str) -> None:
    job_id = terminal.run("enqueue", "echo", "1").stdout.strip()
    assert terminal.json("cancel", job_id)
    assert terminal.json("version")[0]["laneway"]
    terminal.run("schedules", "create", "nightly", "echo", "1", "--every", "3600")
    assert terminal.json("schedules", "pause", "nightly") == [{"message": "paused nightly"}]


def test_a_pipe_gets_no_colours_and_a_shell_completes(api: Api, terminal: Terminal, user: str) -> None:
    command = [str(Path(sys.executable).parent / "laneway")]

    def printed(*arguments: str, **variables: str) -> str:
        environment = {name: text for name, text in os.environ.items() if name != "FORCE_COLOR"}
        done = subprocess.run(
            [*command, *arguments], env=environment | variables, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    for arguments in (("types",), ("--help",), ("show", "nothing")):
        text = printed(*arguments, TERM="xterm-256color")
        assert text
        assert "\x1b" not in text
    words = {"COMP_WORDS": "laneway webh", "COMP_CWORD": "1", "_LANEWAY_COMPLETE": "complete_bash"}
    assert printed(**words).split() == ["webhooks"]
