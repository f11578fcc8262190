"""The scaling rule: how many replicas the load needs, and how fast to follow it. The package's docstring has the guarantees.

In slots, with T the drain target and s the mean run time:

    drain  = held + (queued + running - held) * s / T        finish the present jobs within T
    inflow = running + s * change of (queued + running)      keep up with arriving jobs, averaged (Little's law)
    slots  = min(usable, max(running, drain, inflow))        at least the running jobs, at most the usable parallelism
    needed = ceil(slots / slots per replica)

With s at T or above, `drain` reaches `usable`: long jobs all get a slot at once, since waiting for one of them to end does
not drain the queue in time. With short jobs `drain` is far lower, and a few replicas work off a large backlog. `drain` alone
would let a steady load fill the queue until T is reached; `inflow` reacts earlier.
"""

from __future__ import annotations

import math

from laneway.scaling.model import Cause, Decision, Inflow, Load, Observation, PoolSpec, ScalingState, Step

LATE_FACTOR = 3.0
"""A ready lane that has waited for three drain targets proves the estimate wrong: the waiting jobs take longer than the
measured ones, or a replica has fewer slots than the pool says."""

INFLOW_SECONDS = 60.0
"""Time constant of the inflow's average. The drain target is its lower bound, so that a single burst, mistaken for a
steady inflow, asks for no more replicas than draining it does."""


def decide(spec: PoolSpec, observation: Observation, state: ScalingState, now_seconds: float) -> Decision:
    """Decide how many replicas there should be now. The same arguments give the same decision.

    `now_seconds` is a Unix time, since the state outlives the process. Keep the returned state even if the replicas do not
    change. Without a remembered window (first call, lost status) the window begins with the present replicas.
    """
    current, load = observation.current_replicas, observation.load
    if spec.paused:
        return _unchanged(spec, current, state, now_seconds, Cause.PAUSED, "paused by the pool's owner")
    if load is None:
        return _unchanged(spec, current, state, now_seconds, Cause.LOAD_UNKNOWN, "the load cannot be read")
    service = state.service_seconds if load.service_seconds is None else load.service_seconds
    inflow = _inflow(spec, load, service or 0.0, state.inflow, now_seconds)
    needed, why = _needed(spec, observation, load, service, inflow.slots)
    steps = _remember(spec, state.steps or (Step(now_seconds, current),), needed, now_seconds)
    highest = max(spec.within(steps[0].replicas), spec.within(min(current, observation.pinned_replicas)))
    replicas = min(max(current, spec.within(needed)), highest)
    cause, reason = _explain(spec, observation, replicas, needed, why)
    return Decision(replicas, needed, cause, reason, ScalingState(steps, service, inflow))


def _needed(
    spec: PoolSpec, observation: Observation, load: Load, service: float | None, inflow: float
) -> tuple[int, str]:
    """The replicas that the load alone asks for, and the reason in words."""
    if load.queued == 0 and load.running == 0:
        return 0, "nothing is queued or runs"
    staying = load.running - load.leaving
    usable = max(
        load.usable - load.leaving, staying
    )  # after a lane's limit was lowered more may run than is usable
    most = max(1, _replicas(usable, spec))
    if service is None:
        # No job has ended yet, so run times are unknown. Double the ready replicas until one has: long jobs get their slots
        # within a few start-ups, and 1,000 short jobs do not start a fleet that is idle a moment later.
        needed = max(min(most, 2 * observation.ready_replicas), _replicas(staying, spec), 1)
        return needed, f"usable parallelism is {usable}, run times are not known yet"
    parallelism = f"usable parallelism is {usable}"
    if load.oldest_wait_seconds > LATE_FACTOR * spec.drain_target_seconds:
        return most, f"{parallelism}, and a lane has waited {load.oldest_wait_seconds:.0f} s for its turn"
    if 2 * load.held > load.running:
        # While most running jobs are long ones, the run times of jobs that have ended say little about the waiting ones.
        return most, f"{parallelism}, and most jobs that run take longer than {spec.drain_target_seconds:g} s"
    held = min(load.held, staying)
    drain = held + (load.queued + staying - held) * service / spec.drain_target_seconds
    needed = max(1, _replicas(min(usable, max(staying, drain, inflow)), spec))
    if needed == most:
        return needed, parallelism
    if drain >= max(staying, inflow):
        return (
            needed,
            f"{load.queued} queued jobs of {service:.3g} s drain within {spec.drain_target_seconds:g} s",
        )
    return needed, f"{staying} slots are busy, and arriving work keeps {inflow:.1f} busy"


def _inflow(spec: PoolSpec, load: Load, service: float, before: Inflow | None, now_seconds: float) -> Inflow:
    """Average the arriving work. Jobs end at running/s a second; arrivals are that plus the change in the number of jobs."""
    jobs = load.queued + load.running
    if before is None or now_seconds < before.at:
        return Inflow(now_seconds, jobs, load.running, float(load.running))
    passed = now_seconds - before.at
    if passed <= 0:
        return before
    arrived = (before.running + load.running) / 2 + service * (jobs - before.jobs) / passed
    weight = 1 - math.exp(-passed / max(INFLOW_SECONDS, spec.drain_target_seconds))
    slots = max(0.0, before.slots + weight * (arrived - before.slots))
    return Inflow(now_seconds, jobs, load.running, slots)


def _replicas(slots: float, spec: PoolSpec) -> int:
    return math.ceil(slots / spec.slots_per_replica - 1e-9)  # 3.0000000001 slots are 3


def _remember(spec: PoolSpec, steps: tuple[Step, ...], needed: int, now_seconds: float) -> tuple[Step, ...]:
    """Append a recommendation to the steps, and drop those that ended before the window began.

    Lower steps directly before the new one are raised to it. That changes the highest of no window that ends now or later.
    If the clock has gone back, earlier steps are moved to now, so that no step outlasts the window.
    """
    recent = [Step(min(step.since, now_seconds), step.replicas) for step in steps]
    since = now_seconds
    while recent and recent[-1].replicas <= needed:
        since = recent.pop().since
    recent.append(Step(since, needed))
    begin = now_seconds - spec.stabilisation_window_seconds
    while len(recent) > 1 and recent[1].since <= begin:
        recent.pop(0)
    return tuple(recent)


def _unchanged(
    spec: PoolSpec, current: int, state: ScalingState, now_seconds: float, cause: Cause, why: str
) -> Decision:
    """Leave the replicas as they are, even outside the limits. The window begins again with them."""
    steps = _remember(spec, state.steps, current, now_seconds)
    reason = f"{_named(current)} kept: {why}"
    return Decision(current, current, cause, reason, ScalingState(steps, state.service_seconds, state.inflow))


def _explain(
    spec: PoolSpec, observation: Observation, replicas: int, needed: int, why: str
) -> tuple[Cause, str]:
    current, pinned = observation.current_replicas, observation.pinned_replicas
    reason = (
        f"{_named(replicas)}: {why}" if replicas == needed else f"{_named(replicas)}, {needed} needed: {why}"
    )
    cause = Cause.STEADY
    if replicas > spec.within(needed):
        if replicas <= spec.within(pinned):
            cause, more = Cause.PINNED, f"stopping {_named(pinned)} would interrupt jobs"
        else:
            cause, more = Cause.STABILISING, f"more within the last {spec.stabilisation_window_seconds:g} s"
        reason = f"{reason}; {more}"
    elif replicas != needed:
        reason = f"{reason}; limited to {spec.min_replicas}..{spec.max_replicas}"
    if replicas != current:
        cause = Cause.SCALED_UP if replicas > current else Cause.SCALED_DOWN
    return cause, reason


def _named(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"
