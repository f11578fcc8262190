"""Properties of the rule for every pool, load and state. Each guarantee of the package's docstring has one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from laneway.scaling import Inflow, Load, Observation, PoolSpec, ScalingState, Step, decide

NOW = 1_800_000_000.0


@st.composite
def pools(draw: st.DrawFn) -> PoolSpec:
    least = draw(st.integers(0, 6))
    return PoolSpec(
        min_replicas=least,
        max_replicas=draw(st.integers(max(1, least), 60)),
        slots_per_replica=draw(st.integers(1, 20)),
        drain_target_seconds=draw(st.floats(0.5, 600)),
        stabilisation_window_seconds=draw(st.sampled_from([0.0, 7.0, 120.0, 300.0])),
    )


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """Consistent loads, as lanes produce them: each lane has waiting jobs and at most `cap` running ones."""
    cap = draw(st.integers(1, 10))
    lane = st.tuples(st.integers(0, 10_000) | st.integers(0, 3), st.integers(0, cap))
    lanes = draw(st.lists(lane, max_size=12))
    running = sum(lane_running for _, lane_running in lanes)
    return Load(
        usable=sum(min(waiting + lane_running, cap) for waiting, lane_running in lanes),
        queued=sum(waiting for waiting, _ in lanes),
        running=running,
        leaving=draw(st.integers(0, running)),
        held=draw(st.integers(0, running)),
        service_seconds=draw(st.none() | st.floats(0, 10) | st.floats(0, 7200)),
        oldest_wait_seconds=draw(st.just(0.0) | st.floats(0, 3600)),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    return Observation(
        current_replicas=draw(st.integers(0, 70)),
        ready_replicas=draw(st.integers(0, 70)),
        load=draw(loads()),
        pinned_replicas=draw(st.just(0) | st.integers(0, 70)),
    )


@st.composite
def states(draw: st.DrawFn) -> ScalingState:
    """Any state that the rule itself can produce."""
    fall = sorted(draw(st.sets(st.integers(0, 60), max_size=4)), reverse=True)
    ages = sorted(draw(st.lists(st.floats(0, 900), min_size=len(fall), max_size=len(fall))), reverse=True)
    inflow = st.builds(
        Inflow,
        at=st.floats(NOW - 900, NOW),
        jobs=st.integers(0, 1000),
        running=st.integers(0, 200),
        slots=st.floats(0, 300),
    )
    return ScalingState(
        steps=tuple(Step(NOW - age, replicas) for age, replicas in zip(ages, fall, strict=True)),
        service_seconds=draw(st.none() | st.floats(0, 3600)),
        inflow=draw(st.none() | inflow),
    )


def known(observation: Observation) -> Load:
    assert observation.load is not None
    return observation.load


def parallelism(pool: PoolSpec, load: Load) -> int:
    return math.ceil(load.usable / pool.slots_per_replica)


@given(pools(), observations(), states())
def test_the_replicas_stay_inside_min_and_max(
    pool: PoolSpec, observation: Observation, state: ScalingState
) -> None:
    assert pool.min_replicas <= decide(pool, observation, state, NOW).replicas <= pool.max_replicas


@given(pools(), observations(), states())
def test_no_more_is_asked_for_than_the_parallelism_that_exists(
    pool: PoolSpec, observation: Observation, state: ScalingState
) -> None:
    decision = decide(pool, observation, state, NOW)
    most = parallelism(pool, known(observation))
    assert decision.needed <= most
    if decision.replicas > observation.current_replicas:
        assert decision.replicas <= max(most, pool.min_replicas)


@given(pools(), observations(), states())
def test_never_zero_while_there_is_work(
    pool: PoolSpec, observation: Observation, state: ScalingState
) -> None:
    load = known(observation)
    assume(load.queued or load.running)
    assert decide(pool, observation, state, NOW).replicas >= 1


@given(pools(), loads(), states())
def test_the_first_queued_job_wakes_the_pool_at_once(pool: PoolSpec, load: Load, state: ScalingState) -> None:
    assume(load.queued)
    assert decide(pool, Observation(0, 0, load), state, NOW).replicas >= 1


@given(pools(), observations(), states())
def test_up_at_once(pool: PoolSpec, observation: Observation, state: ScalingState) -> None:
    decision = decide(pool, observation, state, NOW)
    assert decision.replicas >= pool.within(decision.needed)


@given(pools(), observations(), states(), st.integers(1, 500))
def test_more_parallelism_never_means_fewer_replicas(
    pool: PoolSpec, observation: Observation, state: ScalingState, more: int
) -> None:
    load = known(observation)
    wider = replace(observation, load=replace(load, usable=load.usable + more))
    assert decide(pool, wider, state, NOW).replicas >= decide(pool, observation, state, NOW).replicas


@given(pools(), observations(), states(), st.integers(1, 500))
def test_more_users_with_a_job_never_mean_fewer_replicas(
    pool: PoolSpec, observation: Observation, state: ScalingState, more: int
) -> None:
    load = known(observation)
    longer = replace(observation, load=replace(load, usable=load.usable + more, queued=load.queued + more))
    assert decide(pool, longer, state, NOW).replicas >= decide(pool, observation, state, NOW).replicas


@given(pools(), observations(), states())
def test_deciding_twice_changes_nothing(
    pool: PoolSpec, observation: Observation, state: ScalingState
) -> None:
    first = decide(pool, observation, state, NOW)
    applied = replace(observation, current_replicas=first.replicas)
    second = decide(pool, applied, first.state, NOW)
    assert (second.replicas, second.needed, second.state) == (first.replicas, first.needed, first.state)


@given(pools(), observations(), states())
def test_pinned_replicas_stay(pool: PoolSpec, observation: Observation, state: ScalingState) -> None:
    pinned = min(observation.pinned_replicas, observation.current_replicas, pool.max_replicas)
    assert decide(pool, observation, state, NOW).replicas >= pinned


@given(pools(), observations(), states())
def test_running_jobs_keep_their_slots(pool: PoolSpec, observation: Observation, state: ScalingState) -> None:
    load = known(observation)
    staying = math.ceil((load.running - load.leaving) / pool.slots_per_replica)
    assert decide(pool, observation, state, NOW).replicas >= min(staying, pool.max_replicas)


@given(pools(), st.integers(1, 10), st.integers(1, 10_000_000), states(), st.integers(0, 70))
def test_one_heavy_user_is_bounded_by_its_slots(
    pool: PoolSpec, cap: int, queued: int, state: ScalingState, ready: int
) -> None:
    load = Load(min(queued, cap), queued, 0, service_seconds=100.0, oldest_wait_seconds=9_000.0)
    decision = decide(pool, Observation(0, ready, load), ScalingState(inflow=state.inflow), NOW)
    assert decision.replicas <= max(math.ceil(cap / pool.slots_per_replica), pool.min_replicas)


@given(pools(), st.integers(1, 5_000), st.floats(0.001, 10_000))
def test_the_queue_drains_within_the_target_by_as_few_as_can(
    pool: PoolSpec, queued: int, service: float
) -> None:
    """With as many users as jobs, no running job and no state, only the work and the parallelism decide."""
    pool = replace(pool, min_replicas=0, max_replicas=1_000_000)
    needed = decide(
        pool, Observation(0, 0, Load(queued, queued, 0, service_seconds=service)), ScalingState(), NOW
    )
    work = queued * service

    def drains(replicas: int) -> bool:
        return work <= replicas * pool.slots_per_replica * pool.drain_target_seconds * (1 + 1e-6)

    everything = math.ceil(queued / pool.slots_per_replica)
    assert drains(needed.replicas) or needed.replicas == everything
    assert needed.replicas == 1 or not drains(needed.replicas - 1) or work < 1e-6 * queued


@given(pools(), observations(), states())
def test_a_pause_or_an_unknown_load_keeps_the_replicas(
    pool: PoolSpec, observation: Observation, state: ScalingState
) -> None:
    paused = decide(replace(pool, paused=True), observation, state, NOW)
    blind = decide(pool, replace(observation, load=None), state, NOW)
    assert paused.replicas == blind.replicas == observation.current_replicas


History = list[tuple[float, Load | None, int]]
"""(seconds since the last call, load, pinned replicas)"""
histories = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 5.0, 30.0, 130.0, 1000.0]),
        st.none() | loads(),
        st.just(0) | st.integers(0, 9),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(pools(), st.integers(0, 60), histories)
def test_down_only_to_the_highest_recommendation_of_the_window(
    pool: PoolSpec, current: int, history: History
) -> None:
    """Compare with a plain record of all recommendations: the rule's steps must lead to the same highest one."""
    state, now = ScalingState(), NOW
    record = [(now, current)]
    for passed, load, pinned in history:
        now += passed
        observation = Observation(current, current, load, pinned)
        decision = decide(pool, observation, state, now)
        record.append((now, decision.needed))
        highest = pool.within(highest_in(record, now - pool.stabilisation_window_seconds))
        if load is None:
            assert decision.replicas == current
        else:
            floor = max(highest, pool.within(min(current, pinned)))
            assert decision.replicas == min(max(current, pool.within(decision.needed)), floor)
        state, current = decision.state, decision.replicas
        assert len(state.steps) <= 62


def highest_in(record: list[tuple[float, int]], begin: float) -> int:
    """A recommendation holds until the next one, so the last one before the window counts too."""
    in_force = max(index for index, (at, _) in enumerate(record) if at <= begin or index == 0)
    return max(replicas for _, replicas in record[in_force:])


@settings(deadline=None, max_examples=50)
@given(
    pools(), st.lists(loads(), min_size=2, max_size=6), st.integers(0, 60), st.sampled_from([1.0, 5.0, 19.0])
)
def test_a_load_that_comes_and_goes_within_the_window_does_not_flap(
    pool: PoolSpec, cycle: list[Load], current: int, poll_seconds: float
) -> None:
    """Under any load that repeats within the window the replicas settle. They may still creep in one direction while the
    inflow's average converges, but never go down and up again."""
    pool = replace(pool, stabilisation_window_seconds=120.0)
    cycle = [replace(load, service_seconds=load.service_seconds or 1.0) for load in cycle]
    state, now, seen = ScalingState(), NOW, []
    for _ in range(int(2400 / poll_seconds / len(cycle))):
        for load in cycle:
            now += poll_seconds
            decision = decide(pool, Observation(current, current, load), state, now)
            state, current = decision.state, decision.replicas
            seen.append(current)
    settled = seen[int(360 / poll_seconds) :]
    moves = {math.copysign(1, after - before) for before, after in pairwise(settled) if after != before}
    assert len(moves) <= 1
