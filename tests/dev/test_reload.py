"""`laneway dev` reloads handlers when a file is saved, and loses no job."""

from __future__ import annotations

import os
import signal

import pytest

from tests.dev.conftest import WAIT_SECONDS, Machine

HANDLERS = """
import time
from laneway import handler
from words import WORD

@handler("say")
def say(request):
    time.sleep({seconds})
    return WORD + " {version}"
"""


def save(machine: Machine, version: int, seconds: float = 0, more: str = "") -> None:
    (machine.folder / "jobs.py").write_text(HANDLERS.format(version=version, seconds=seconds) + more)


def events(machine: Machine, event: str) -> int:
    return sum(line["event"] == event for line in machine.log())


def say(machine: Machine, token: str) -> object:
    """What the handler answers now."""
    job_id = machine.enqueue(token, None, "say")
    machine.wait_until(lambda: machine.job(token, job_id)["state"] == "succeeded")
    return machine.job(token, job_id)["result"]


def test_a_save_is_served_unless_it_is_broken_and_jobs_that_run_or_wait_meanwhile_are_kept(
    machine: Machine, redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> None:
    (machine.folder / "words.py").write_text("WORD = 'hello'\n")
    save(machine, 1, seconds=0.5)
    (machine.folder / ".env").write_text(f"LANEWAY_REDIS_URL={redis_url}\n")
    given = {
        "LANEWAY_MONGO_URL": mongo_url,
        "LANEWAY_KEY_PREFIX": prefix,
        "LANEWAY_MONGO_DATABASE": mongo_database,
    }
    machine.up("jobs.py", **given)
    assert not [line for line in machine.running().values() if "valkey" in line or "mongo" in line]
    token = machine.token("ann")
    requests = {"requests": [{"type": "say", "request": None}] * 20}
    job_ids = machine.ask("POST", "/api/enqueue/batch", token, json=requests)["job_ids"]
    machine.wait_until(lambda: machine.job(token, job_ids[1])["state"] in ("running", "succeeded"))
    assert machine.job(token, job_ids[-1])["state"] == "queued"
    save(machine, 2, more="\n@handler('shout')\ndef shout(request):\n    return 'HELLO'\n")
    machine.wait_until(lambda: events(machine, "handlers_reloaded") == 1)
    machine.wait_for_api()
    machine.wait_until(lambda: machine.job(token, job_ids[-1])["state"] == "succeeded")
    jobs = [machine.job(token, job_id) for job_id in job_ids]
    assert {job["state"] for job in jobs} == {"succeeded"}
    results = [job["result"] for job in jobs]
    assert results == sorted(results), "in order: first those of the old handlers"
    assert {results[0], results[-1]} == {"hello 1", "hello 2"}
    assert [job["attempts"] for job in jobs] == [1] * 20, "none was charged for the restart"
    assert events(machine, "started") == 20, "what ran at the save was finished, not cut short"
    shout = machine.enqueue(token, None, "shout")  # the API knows the new type
    machine.wait_until(lambda: machine.job(token, shout)["result"] == "HELLO")

    (machine.folder / "words.py").write_text("WORD = (\n")  # a module that the handlers import
    machine.wait_until(lambda: "The old handlers go on until this is mended." in machine.terminal())
    assert "SyntaxError" in machine.terminal()
    assert events(machine, "handlers_broken") == 1
    assert say(machine, token) == "hello 2"
    (machine.folder / "words.py").write_text("WORD = 'good morning'\n")
    machine.wait_until(lambda: events(machine, "handlers_reloaded") == 2)
    machine.wait_for_api()
    assert say(machine, token) == "good morning 2"
    assert events(machine, "child_ended") == 0


@pytest.mark.thorough  # the test above, on handlers that are named by the setting
def test_a_broken_file_is_reported_and_the_old_handlers_go_on(machine: Machine) -> None:
    (machine.folder / "words.py").write_text("WORD = 'hello'\n")
    save(machine, 1)
    machine.up(LANEWAY_HANDLERS="jobs")
    token = machine.token("ann")
    (machine.folder / "jobs.py").write_text("def broken(:\n")
    machine.wait_until(lambda: "The old handlers go on until this is mended." in machine.terminal())
    assert "SyntaxError" in machine.terminal()
    assert events(machine, "handlers_broken") == 1
    assert say(machine, token) == "hello 1"
    os.kill(machine.pid("laneway.worker"), signal.SIGKILL)  # what starts now meets the broken file
    machine.wait_until(lambda: events(machine, "child_ended") >= 2)
    (machine.folder / "jobs.py").write_text("def still_broken(:\n")
    machine.wait_until(lambda: "No worker runs until this is mended." in machine.terminal())
    save(machine, 2)
    machine.wait_until(lambda: events(machine, "handlers_reloaded") == 1)
    machine.wait_for_api()
    assert say(machine, token) == "hello 2"


def test_the_system_is_up_only_when_every_process_of_the_worker_has_the_handlers(machine: Machine) -> None:
    """A file may be saved while the system starts, between the imports of two processes."""
    save(
        machine,
        1,
        more="\nimport sys\nassert 'laneway.worker.celery.app' not in sys.orig_argv, 'the second import'\n",
    )
    (machine.folder / "words.py").write_text("WORD = 'hello'\n")
    process = machine.start("jobs.py")
    assert process.wait(WAIT_SECONDS) == 1, machine.terminal()
    assert "AssertionError: the second import" in machine.terminal()
    assert "worker ended with status 2 while starting" in machine.terminal()
    assert "Laneway is up" not in machine.terminal()
