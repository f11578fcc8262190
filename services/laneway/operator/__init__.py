"""The Kubernetes operator: scales worker Deployments and hosts the janitor, for the WorkerPools of one namespace.

kopf starts and stops the process and watches WorkerPools (`operator/main.py`). Everything else is a loop of ours, and a
watch event only makes a loop run sooner:

    app.py            builds the parts from plain values, runs the loops, restarts one that failed
    leadership.py     holds the Lease; of several operators only the leader writes
    pools.py          keeps one reconcile loop per WorkerPool
    reconcile.py      one pass: read the pool, survey the lanes, read the Deployment and its pods, decide, scale, report
    demand.py         what a pool asks for and what the lanes hold; observe.py surveys the lanes in Redis
    workload.py       what the API server knows of a Deployment and its pods
    deletion_cost.py  which pods are busy, so that a scale-down deletes the idle ones
    replicas.py       writes deletion costs and replicas
    contention.py     backs off from another scaler of the same Deployment
    report.py         writes the pool's status; events.py records Kubernetes Events at a bounded rate
    janitor_host.py   runs the janitor while this operator leads
    endpoints.py      /healthz (heartbeats.py), /readyz (readiness.py) and /metrics (metrics.py)

The scaling rule itself is pure and lives in `laneway.scaling`. Decision pages 18, 19 and 20 say why it is built this way.
"""

import laneway.compat.structlog  # noqa: F401 - before any module here imports structlog
