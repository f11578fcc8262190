"""The rule's decisions for typical loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from laneway.scaling import Cause, Decision, Load, Observation, PoolSpec, ScalingState, decide

NOW = 1_800_000_000.0
POOL = PoolSpec(0, 50, 4, drain_target_seconds=30, stabilisation_window_seconds=120)


def fresh(load: Load, current: int = 0, ready: int | None = None, pool: PoolSpec = POOL) -> Decision:
    return decide(pool, Observation(current, current if ready is None else ready, load), ScalingState(), NOW)


def follow(current: int, loads: Sequence[tuple[float, Load | None]], state: ScalingState) -> Decision:
    """Decide at each time and apply the decision; returns the last one."""
    decisions: list[Decision] = []
    for seconds, load in loads:
        decisions.append(decide(POOL, Observation(current, current, load), state, NOW + seconds))
        state, current = decisions[-1].state, decisions[-1].replicas
    return decisions[-1]


def test_one_user_with_10000_jobs_and_5_slots_gets_two_replicas_of_four_slots() -> None:
    decision = fresh(Load(usable=5, queued=10_000, running=0, service_seconds=1.0))
    assert (decision.replicas, decision.cause) == (2, Cause.SCALED_UP)
    assert decision.reason == "2 replicas: usable parallelism is 5"


def test_many_light_users_share_a_few_replicas_when_their_jobs_are_short() -> None:
    decision = fresh(Load(usable=1000, queued=1000, running=0, service_seconds=0.5))
    assert decision.replicas == 5  # 500 s of work / (4 slots x 30 s)
    assert decision.reason == "5 replicas: 1000 queued jobs of 0.5 s drain within 30 s"


def test_jobs_of_30_minutes_all_get_a_slot() -> None:
    assert fresh(Load(usable=30, queued=30, running=0, service_seconds=1800)).replicas == 8


def test_long_jobs_that_start_after_short_ones_do_not_wait_for_them() -> None:
    """Ended jobs took 0.1 s on average, but the running ones have run for longer than the drain target."""
    behind = Load(usable=24, queued=20, running=4, held=3, service_seconds=0.1)
    assert fresh(behind, current=1).replicas == 6
    assert fresh(replace(behind, held=0), current=1).replicas == 1


def test_a_slot_that_a_long_job_holds_drains_nothing() -> None:
    load = Load(usable=1000, queued=500, running=10, service_seconds=1.0)
    assert fresh(load, current=3).replicas == 5  # 510 s of work / 120 s
    assert (
        fresh(replace(load, held=4), current=3).replicas == 6
    )  # 4 slots are gone: 4 + 506 s / 30 s = 20.9 slots


def test_a_lane_that_waits_too_long_for_its_turn_proves_the_estimate_wrong() -> None:
    load = Load(usable=40, queued=40, running=0, service_seconds=0.01)
    assert fresh(load).replicas == 1
    assert fresh(replace(load, oldest_wait_seconds=91)).replicas == 10


def test_unknown_run_times_double_what_is_ready() -> None:
    load = Load(usable=400, queued=400, running=0)
    assert [fresh(load, current=9, ready=ready).needed for ready in (0, 1, 4, 60)] == [1, 2, 8, 100]
    assert fresh(Load(usable=3, queued=3, running=0), current=9, ready=9).needed == 1


def test_the_last_known_run_time_bridges_the_times_without_an_end() -> None:
    known = fresh(Load(usable=400, queued=400, running=0, service_seconds=0.5)).state
    decision = decide(POOL, Observation(4, 4, Load(usable=400, queued=400, running=0)), known, NOW + 5)
    assert decision.needed == 2


def test_an_inflow_above_the_slots_scales_up_before_the_queue_reaches_the_target() -> None:
    """8.5 jobs/s of 1 s on 8 slots: the queue grows by one every 2 s, and would take 8 minutes to reach the target."""
    growing = [(5.0 * n, Load(8 + 5 * n // 2, 5 * n // 2, 8, service_seconds=1.0)) for n in range(25)]
    resting = [(at, Load(10, 2, 8, service_seconds=1.0)) for at, _ in growing]
    assert follow(2, resting, ScalingState()).replicas == 2
    decision = follow(2, growing, ScalingState())
    assert decision.replicas == 3
    assert "3 replicas: 8 slots are busy, and arriving work keeps 8." in decision.reason


def test_running_jobs_keep_their_slots_even_if_fewer_would_drain_them() -> None:
    idle = fresh(Load(0, 0, 0, service_seconds=0.1)).state
    busy = Observation(10, 10, Load(usable=40, queued=0, running=40, service_seconds=0.1))
    assert decide(POOL, busy, idle, NOW + 5).needed == 10


def test_a_burst_is_not_taken_for_a_flow() -> None:
    """3,000 jobs ask for no more if they have just arrived than if the first observation found them."""
    idle = decide(POOL, Observation(0, 0, Load(0, 0, 0, service_seconds=1.0)), ScalingState(), NOW).state
    for seconds in (1, 5, 30):
        load = Load(usable=3000, queued=3000, running=0, service_seconds=1.0)
        assert decide(POOL, Observation(0, 0, load), idle, NOW + seconds).needed == fresh(load).needed == 25


def test_jobs_on_terminating_pods_need_no_replicas() -> None:
    assert (
        fresh(Load(usable=40, queued=0, running=40, leaving=40, service_seconds=1800), current=1).needed == 1
    )
    assert (
        fresh(Load(usable=44, queued=4, running=40, leaving=40, service_seconds=1800), current=0).replicas
        == 1
    )


def test_a_limit_that_was_lowered_interrupts_nothing() -> None:
    assert fresh(Load(usable=2, queued=0, running=10, service_seconds=1), current=3).needed == 3


def test_to_zero_after_the_window_and_no_sooner() -> None:
    nothing = [(float(seconds), Load(0, 0, 0)) for seconds in range(0, 121, 5)]
    assert follow(3, nothing[:-1], ScalingState()).replicas == 3
    decision = follow(3, nothing, ScalingState())
    assert (decision.replicas, decision.cause) == (0, Cause.SCALED_DOWN)
    assert decision.reason == "0 replicas: nothing is queued or runs"


def test_the_reason_says_why_more_replicas_stay_than_are_needed() -> None:
    idle = Observation(5, 5, Load(1, 0, 1, service_seconds=1800), pinned_replicas=1)
    held = decide(POOL, idle, ScalingState(), NOW)
    assert (held.replicas, held.cause) == (5, Cause.STABILISING)
    assert held.reason == "5 replicas, 1 needed: usable parallelism is 1; more within the last 120 s"
    pinned = decide(POOL, replace(idle, pinned_replicas=3), held.state, NOW + 200)
    assert (pinned.replicas, pinned.cause) == (3, Cause.SCALED_DOWN)
    again = decide(POOL, replace(idle, current_replicas=3, pinned_replicas=3), pinned.state, NOW + 205)
    assert (again.replicas, again.cause) == (3, Cause.PINNED)
    assert (
        again.reason
        == "3 replicas, 1 needed: usable parallelism is 1; stopping 3 replicas would interrupt jobs"
    )


def test_limits_are_named_in_the_reason() -> None:
    decision = fresh(Load(usable=1000, queued=1000, running=0, service_seconds=1800))
    assert decision.reason == "50 replicas, 250 needed: usable parallelism is 1000; limited to 0..50"


def test_after_redis_was_away_the_window_begins_anew() -> None:
    """Users could not enqueue during the outage, so an empty queue says nothing about the need."""
    blind = follow(6, [(float(seconds), None) for seconds in range(0, 600, 5)], ScalingState())
    assert (blind.replicas, blind.cause, blind.reason) == (
        6,
        Cause.LOAD_UNKNOWN,
        "6 replicas kept: the load cannot be read",
    )
    back = decide(POOL, Observation(6, 6, Load(0, 0, 0)), blind.state, NOW + 600)
    assert (back.replicas, back.cause) == (6, Cause.STABILISING)
    assert decide(POOL, Observation(6, 6, Load(0, 0, 0)), back.state, NOW + 720).replicas == 0


def test_a_pause_keeps_the_replicas_even_outside_the_limits() -> None:
    paused = replace(POOL, paused=True)
    decision = decide(paused, Observation(70, 70, Load(0, 0, 0)), ScalingState(), NOW)
    assert (decision.replicas, decision.cause, decision.reason) == (
        70,
        Cause.PAUSED,
        "70 replicas kept: paused by the pool's owner",
    )


def test_without_a_state_the_window_begins_with_the_present_replicas() -> None:
    assert fresh(Load(0, 0, 0), current=6).replicas == 6


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_delays_no_scale_down_beyond_the_window(jump: float) -> None:
    busy = [(float(-n), Load(4 * n, 4 * n, 0, service_seconds=1800)) for n in (10, 5)]
    state = follow(10, busy, ScalingState()).state
    assert [step.replicas for step in state.steps] == [10, 5]
    nothing = [(jump + seconds, Load(0, 0, 0)) for seconds in range(0, 121, 5)]
    assert follow(10, nothing, state).replicas == 0


def test_a_clock_that_went_back_does_not_freeze_the_inflow() -> None:
    busy = fresh(Load(usable=40, queued=0, running=40, service_seconds=1), current=10).state
    quiet = Load(usable=12, queued=11, running=1, service_seconds=1)
    assert decide(POOL, Observation(10, 10, quiet), busy, NOW - 3600).needed == 1


def test_a_poll_that_is_slower_than_the_window_still_scales_down() -> None:
    pool = replace(POOL, stabilisation_window_seconds=10)
    state = fresh(Load(0, 0, 0), current=6, pool=pool).state
    assert decide(pool, Observation(6, 6, Load(0, 0, 0)), state, NOW + 60).replicas == 0


def test_no_window_scales_down_at_once() -> None:
    pool = replace(POOL, stabilisation_window_seconds=0)
    assert fresh(Load(0, 0, 0), current=6, pool=pool).replicas == 0
