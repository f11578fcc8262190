"""The kernel hands each start token to exactly one reader, in whatever process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laneway.worker.start_tokens import MAX_TOKENS, StartTokens


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.start_tokens"


def test_tokens_are_taken_in_order_and_then_there_are_none(path: Path) -> None:
    start_tokens = StartTokens(path, create=True)
    assert start_tokens.take() is None
    start_tokens.fill(7, 3)
    assert start_tokens.left() == 3
    assert start_tokens.take() == (7, 0)
    assert start_tokens.left() == 2
    assert start_tokens.take_all() == [(7, 1), (7, 2)]
    assert (start_tokens.left(), start_tokens.take()) == (0, None)
    start_tokens.close()


def test_the_largest_batch_fits(path: Path) -> None:
    start_tokens = StartTokens(path, create=True)
    start_tokens.fill(255, MAX_TOKENS)
    assert start_tokens.left() == MAX_TOKENS
    assert start_tokens.take_all() == [(255, index) for index in range(MAX_TOKENS)]
    start_tokens.close()


def test_the_other_end_sees_and_takes_the_same_tokens(path: Path) -> None:
    mine = StartTokens(path, create=True)
    theirs = StartTokens(path, create=False)
    mine.fill(1, 4)
    assert theirs.left() == 4
    assert [mine.take(), theirs.take(), mine.take(), theirs.take()] == [(1, n) for n in range(4)]
    mine.close()
    theirs.close()


def test_what_a_process_that_dies_had_not_taken_is_still_there(path: Path) -> None:
    def dies() -> None:
        start_tokens = StartTokens(path, create=True)
        start_tokens.fill(2, 5)
        start_tokens.take()
        os.close(ready)
        os.read(wait, 1)

    wait, go = os.pipe()
    done, ready = os.pipe()
    if (pid := os.fork()) == 0:
        dies()
        os._exit(0)
    os.close(ready)
    assert os.read(done, 1) == b""  # it has closed its end
    lease_keeper = StartTokens(path, create=False)
    os.close(go)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert lease_keeper.left() == 4
    assert lease_keeper.take_all() == [(2, index) for index in range(1, 5)]
    for descriptor in (wait, done):
        os.close(descriptor)
    lease_keeper.close()


def test_two_processes_share_tokens_without_loss_or_doubles(path: Path) -> None:
    start_tokens = StartTokens(path, create=True)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        theirs_end = StartTokens(path, create=False)
        os.write(write, b".")
        taken = 0
        while taken < 10_000:
            if token := theirs_end.take():
                if token == (0, 0):  # the sign to end
                    break
                os.write(write, bytes(token))
                taken += 1
        os._exit(0)
    os.close(write)
    os.read(read, 1)
    mine: list[tuple[int, int]] = []
    for generation in range(1, 40):
        start_tokens.fill(generation, MAX_TOKENS)
        while token := start_tokens.take():
            mine.append(token)
    start_tokens.fill(0, 1)
    theirs = b""
    while data := os.read(read, 65536):
        theirs += data
    os.waitpid(pid, 0)
    pairs = [(theirs[at], theirs[at + 1]) for at in range(0, len(theirs), 2)]
    assert sorted(mine + pairs) == [(g, n) for g in range(1, 40) for n in range(MAX_TOKENS)]
    os.close(read)
    start_tokens.close()
