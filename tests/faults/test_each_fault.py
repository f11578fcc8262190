"""Each kind of fault alone, one after another, under load: the system comes back by itself, and no promise is broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from chaos.faults.kinds import KINDS
from chaos.run import Chaos, Outcome
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("tools")]
BACK_SECONDS = 20.0
LEASE_SECONDS = 4.0
SEED = 1


@pytest.fixture(scope="module")
def outcome(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    console = Console(width=150)
    folder = tmp_path_factory.mktemp("each")
    system = System(folder, settings={"lease_seconds": LEASE_SECONDS})
    with ThreadPoolExecutor(2) as throwers, system.running():
        found = Chaos(system, SEED, console, calm_seconds=0.3).run(
            [[kind] for kind in KINDS.values()], throwers
        )
    found.show(console)
    return found


@pytest.mark.parametrize("number", range(len(KINDS)), ids=list(KINDS))
def test_the_system_is_back_at_full_speed(outcome: Outcome, number: int) -> None:
    recovery = outcome.recoveries[number]
    assert recovery.back_seconds is not None
    assert recovery.back_seconds < BACK_SECONDS


def test_no_promise_is_broken(outcome: Outcome) -> None:
    assert outcome.verdict.clean, outcome.explained


def test_every_answer_was_one_that_the_api_may_give(outcome: Outcome) -> None:
    assert outcome.told.unexpected == []


def test_nothing_is_left_in_redis(outcome: Outcome) -> None:
    assert outcome.leftovers == []
