"""Simulates worker autoscaling: our rule, KEDA's Redis list scaler and an HPA on CPU.

    python -m bench.autoscaling

What the simulation models, and what it leaves out:

Lanes    First in, first out; at most 5 jobs of a lane in flight; lanes with a startable job are served round robin.
         All rules run on the same lanes, but only ours knows about them.
Jobs     Run times are drawn once per trace, so every rule gets the same jobs at the same times.
         An interrupted job goes back to the head of its lane and starts from the beginning.
Pods     4 slots. 8 s from the scale request to readiness (image on the node, interpreter, connections). A random free
         slot takes the next job. A pod costs from its creation to its removal, Terminating included.
Stopping A stopping pod takes no more jobs and lets its jobs run on for 30 s (Kubernetes' default
         terminationGracePeriodSeconds). Jobs that still run then are interrupted.
Victims  A scale-down chooses pods like the ReplicaSet controller (kubernetes.io/docs/concepts/workloads/controllers/
         replicaset, "Scaling a ReplicaSet"; in the source ActivePodsWithRanks): not ready before ready; then lower
         pod-deletion-cost; then pods per node (left out, as if spread evenly); then the shorter time since readiness,
         compared by powers of two; then at random. Only our operator sets deletion costs; KEDA cannot (keda issue 6124).
Left out Node scale-up, image pulls, failures, CPU contention between the slots of a pod; KEDA's ScaledJob, which its
         documentation recommends for long jobs (one pod a job: start-ups are not shared, and no job is interrupted).

`controllers` describes the rules, `traces` the loads.
"""

from __future__ import annotations
