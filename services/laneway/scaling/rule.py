"""The rule: how many replicas the load needs, and how fast to follow it. See the package's docstring.

In slots, with T the drain target and s the mean run time:

    drain  = held + (queued + running - held) * s / T        what there is, done within T
    inflow = running + s * change of (queued + running)      what arrives, averaged (Little's law)
    slots  = min(usable, max(running, drain, inflow))        at least what runs, at most what can run
    needed = ceil(slots / slots per replica)

With s at T or above, `drain` reaches `usable`: long jobs all get a slot at once, since waiting for one to end is no
way to drain. With short jobs it is far below, and a few replicas take a large backlog in turn. `drain` alone would
let a steady load fill the queue until T is reached, replica by replica; `inflow` sees it coming.
"""

from __future__ import annotations

import math

from laneway.scaling.model import Cause, Decision, Inflow, Load, Observation, PoolSpec, ScalingState, Step

LATE_FACTOR = 3.0
"""A lane that could be served and has waited for three drain targets proves the estimate wrong: the run times that
were measured are not those of the jobs that wait, or a replica has fewer slots than was said."""

INFLOW_SECONDS = 60.0
"""Time constant of the inflow's average; never below the drain target, so that a single burst, taken for a flow,
asks for no more than draining it does."""


def decide(spec: PoolSpec, observation: Observation, state: ScalingState, now_seconds: float) -> Decision:
    """How many replicas there should be now. Pure: the same arguments, the same decision.

    `now_seconds` is a Unix time, since the state outlives the process. Keep the returned state even when the
    replicas do not change. A window that is not remembered (first call, lost status) begins with what is there.
    """
    current, load = observation.current_replicas, observation.load
    if spec.paused:
        return _kept(spec, current, state, now_seconds, Cause.PAUSED, "paused by the pool's owner")
    if load is None:
        return _kept(spec, current, state, now_seconds, Cause.LOAD_UNKNOWN, "the load cannot be read")
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
    """What the load alone asks for, and why in words."""
    if load.queued == 0 and load.running == 0:
        return 0, "nothing is queued or runs"
    staying = load.running - load.leaving
    usable = max(load.usable - load.leaving, staying)  # it is less where a lane's limit was lowered
    most = max(1, _replicas(usable, spec))
    if service is None:
        # Nothing has ended yet, so the jobs may be of any length. Double what is ready until it is known: long jobs
        # get their slots within a few start-ups, and 1,000 short ones do not start a fleet that idles at once.
        needed = max(min(most, 2 * observation.ready_replicas), _replicas(staying, spec), 1)
        return needed, f"usable parallelism is {usable}, run times are not known yet"
    parallelism = f"usable parallelism is {usable}"
    if load.oldest_wait_seconds > LATE_FACTOR * spec.drain_target_seconds:
        return most, f"{parallelism}, and a lane has waited {load.oldest_wait_seconds:.0f} s for its turn"
    if 2 * load.held > load.running:
        # What has ended says little about what waits while most of what runs is of a longer kind.
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
    """Average the work that arrives. Jobs end at running/s a second, so arrivals are that and the change of all jobs."""
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
    """Append a recommendation to the staircase, and drop the steps that ended before the window began.

    A lower step that is covered by the new one is raised to it, which changes the highest of no window that ends now
    or later. A clock that went back pulls the past to now, so that nothing is held for longer than the window.
    """
    kept = [Step(min(step.since, now_seconds), step.replicas) for step in steps]
    since = now_seconds
    while kept and kept[-1].replicas <= needed:
        since = kept.pop().since
    kept.append(Step(since, needed))
    begin = now_seconds - spec.stabilisation_window_seconds
    while len(kept) > 1 and kept[1].since <= begin:
        kept.pop(0)
    return tuple(kept)


def _kept(
    spec: PoolSpec, current: int, state: ScalingState, now_seconds: float, cause: Cause, why: str
) -> Decision:
    """Leave the replicas as they are, even outside the limits; afterwards the window begins with them."""
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
