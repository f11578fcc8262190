"""The worker: processes that take jobs off the ring and run their handlers.

One worker (one pod) has three kinds of processes:

- the supervisor (`supervisor`) starts the other two and ends with them;
- Celery (`celery/`) keeps a pool of processes and spreads turns over them; in a turn, a pool process (`pool/`) serves jobs;
- the lease keeper (`lease_keeper/`) renews the leases of all pool processes, notices their deaths, enforces hard time limits,
  serves metrics, and runs the janitor where the operator does not.

The walk of a claimed job through a pool process, one way:

1. claim    `pool/turn.py`         asks Redis for as many jobs as `batch_sizer` says
2. choose   `pool/choose.py`       keeps what can start at once, returns the rest to its lane
            `pool/permits.py`      asks Redis for permits, if types with limits are among it
3. start    `pool/start.py`        reports to the lease keeper (`protocol`) what is about to start
4. run      `pool/plain.py`        in the main thread, one after another, if the handler is a plain function
            `pool/tasks.py`        in the event loop, many at once, if it is async
5. outcome  `outcomes.py`          makes an outcome of what the handler returned or raised
6. finish   `pool/finish.py`       has Redis record the outcome, in one round trip with the next claim, and reports it

Beside the walk: `pool/batch_watch.py` and `pool/start_notices.py` let a lane go on while a job of it runs, and
`lease_keeper/deaths.py` takes over when a pool process dies on the way.

Words of the worker:

| word | meaning |
|---|---|
| wake-up | an entry in a Redis list that wakes one process that stands by |
| start token | two bytes in a pipe, one for each job of a batch that has not started: whoever takes it may start the job or give it back |
| batch size | how many jobs a process claims at once |
| duration estimate | how long an attempt of a type takes, by the latest attempts in this process |
| lease keeper | the process beside the pool that renews leases and notices deaths |
| running mark | three bytes of shared memory that name the plain job that a process runs now; they survive the process |
| loss | a run that was cut short because its process, worker, pod or node died; it is never charged as an attempt |
| suspect | a job that ran in a process when that process died, or that lost its whole worker twice in a row |
| isolation | running a suspect alone: its process claims and runs nothing else meanwhile |
| outbox | ended jobs that MongoDB does not have yet |
"""

import laneway.compat.structlog  # noqa: F401 - before any module here imports structlog
