"""Each kind of fault alone, one after another, under load: the system recovers by itself, and no promise is broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from chaos.faults.catalogue import FAULTS
from chaos.run import ChaosRun, Outcome
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("tools")]
RECOVERY_SECONDS = 20.0
LEASE_SECONDS = 4.0
SEED = 1


@pytest.fixture(scope="module")
def outcome(tools: None, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    console = Console(width=150)
    folder = tmp_path_factory.mktemp("each")
    system = System(folder, settings={"lease_seconds": LEASE_SECONDS})
    with ThreadPoolExecutor(2) as threads, system.running():
        found = ChaosRun(system, SEED, console, calm_seconds=0.3).run(
            [[fault] for fault in FAULTS.values()], threads
        )
    found.print(console)
    return found


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=list(FAULTS))
def test_the_system_is_back_at_full_speed(outcome: Outcome, number: int) -> None:
    recovery = outcome.recoveries[number]
    assert recovery.recovered_seconds is not None
    assert recovery.recovered_seconds < RECOVERY_SECONDS


def test_no_promise_is_broken(outcome: Outcome) -> None:
    assert outcome.verdict.clean, outcome.explanations


def test_the_api_gave_only_answers_that_it_may_give(outcome: Outcome) -> None:
    assert outcome.stats.unexpected == []


def test_nothing_is_left_in_redis(outcome: Outcome) -> None:
    assert outcome.leftovers == []
