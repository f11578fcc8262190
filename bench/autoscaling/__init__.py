"""A simulation of worker autoscaling: our rule beside KEDA's Redis list scaler and an HPA on CPU.

    python -m bench.autoscaling

What is modelled, and what is not:

Lanes    First in, first out; at most 5 jobs of a lane in flight; lanes with a startable job are served round robin.
         The same lanes under every rule, so that the rules alone differ. No rule but ours knows of them.
Jobs     Run times are drawn once per trace, so every rule gets the same jobs at the same times.
         An interrupted job goes back to the head of its lane and starts again from the beginning.
Pods     4 slots. 8 s from the scale request to readiness (image on the node, interpreter, connections); a job is
         taken by a random free slot. A pod costs from its creation until it is gone, Terminating included.
Stopping Every pod, whoever stops it: takes no more jobs, finishes what it can in 30 s (Kubernetes' default
         terminationGracePeriodSeconds), then what still runs is interrupted.
Victims  Chosen as the ReplicaSet controller does (kubernetes.io/docs/concepts/workloads/controllers/replicaset,
         "Scaling a ReplicaSet"; in the source ActivePodsWithRanks): not ready before ready; then lower
         pod-deletion-cost; then (pods per node: left out, as if spread evenly); then the one ready for less time,
         compared by powers of two; then at random. Only our operator sets deletion costs: KEDA cannot (keda issue 6124).
Not here Node scale-up, image pulls, failures, CPU contention between the slots of a pod; KEDA's ScaledJob, which its
         documentation prefers for long runs (a pod a job, so no start-up is shared and none is interrupted).

The rules: see `controllers`. Traces: see `traces`.
"""

from __future__ import annotations
