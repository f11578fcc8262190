"""Failures in groups: what counts as the same failure, and what the groups of dead letters say."""

from __future__ import annotations

import json

import pytest

from laneway.lanes.model import JobState
from laneway.storage.dead_letters import Selection
from laneway.storage.failure import MAX_CHARACTERS, UNREADABLE, failure_of
from laneway.storage.history_writer import FAILURES_INDEX
from tests.storage.test_history import Store, job, store

__all__ = ["store"]


def error(message: str, type_: str = "ValueError") -> bytes:
    return json.dumps({"type": type_, "message": message}).encode()


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("no answer within 3.5 s\nTraceback ...", "no answer within <n> s"),
        ("  no user 17 at 10.0.0.1:8080 ", "no user <n> at <n>"),
        ("<object at 0x7f2d180fc150> is closed", "<object at <address>> is closed"),
        ("row 123e4567-e89b-12d3-a456-426614174000 is gone", "row <id> is gone"),
        ("blob deadbeef01 is gone, deadbeef is not", "blob <id> is gone, deadbeef is not"),
    ],
)
def test_what_varies_does_not_make_another_failure(message: str, kind: str) -> None:
    assert failure_of(error(message)) == f"ValueError: {kind}"


@pytest.mark.parametrize("body", [None, b"null", b"{", b"[1]", b"1", b'{"message":"m"}', b"\xff"])
def test_any_error_has_a_kind(body: bytes | None) -> None:
    assert failure_of(body) == UNREADABLE


def test_a_kind_is_short() -> None:
    assert failure_of(error("")) == "ValueError"
    assert len(failure_of(error("x" * 10_000_000))) == MAX_CHARACTERS


def test_groups_are_counted_with_their_first_and_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [
        job(n, user, JobState.FAILED, error=error(f"no row {n}"), type=type_)
        for n, (user, type_) in enumerate(
            [("ann", "echo"), ("bob", "echo"), ("ann", "echo"), ("ann", "sleep"), ("bob", "echo")], 1
        )
    ]
    store.writer.store([*failed, job(6)])
    assert store.database["dead_letters"].index_information()["failures"]["key"] == FAILURES_INDEX
    largest, other = store.ask_dead(lambda dead: dead.groups(Selection(), 10))
    assert (largest.type, largest.failure, largest.count) == ("echo", "ValueError: no row <n>", 4)
    assert (largest.first_us, largest.last_us) == (failed[0].finished_us, failed[4].finished_us)
    assert (largest.example_user, largest.example_id) == ("bob", failed[4].job_id)
    assert (other.type, other.count) == ("sleep", 1)
    assert store.ask_dead(lambda dead: dead.groups(Selection(), 1)) == [largest]
    (of_bob,) = store.ask_dead(lambda dead: dead.groups(Selection(user="bob"), 10))
    assert (of_bob.count, of_bob.first_us) == (2, failed[1].finished_us)
    group = Selection(type="echo", failure="ValueError: no row <n>")
    assert store.ask_dead(lambda dead: dead.count(group)) == 4
    keys = store.ask_dead(lambda dead: dead.keys(group, "", 3))
    assert keys == sorted(keys)
    assert len(keys) == 3
    assert store.ask_dead(lambda dead: dead.count(group, keys[1])) == 2
    assert store.ask_dead(lambda dead: dead.drop_with_keys([*keys, "nobody/0"])) == 3
    keys = store.ask_dead(lambda dead: dead.keys(group, "", 3))
    assert list(store.ask_dead(lambda dead: dead.with_keys(keys))) == keys
    assert store.ask_dead(lambda dead: dead.drop_with_keys(keys)) == 1
    assert store.ask_dead(lambda dead: dead.groups(Selection(), 10)) == [other]
