"""The worker: processes that serve jobs from the ring.

Three kinds of processes make up one worker (one pod):

- the supervisor (`__main__`) starts the other two and ends with them;
- Celery (`app`) spreads turns over its pool: each pool process (`process`, `turn`) claims jobs and runs their handlers;
- the lease keeper (`lease_keeper`) renews the leases of all pool processes, sees them die, enforces hard time limits, runs the janitor
  where that is its place, and serves metrics. It is a process of its own, so that no handler that holds the interpreter, no
  Celery event loop and no reconnect can stop it.

One job's way: `turn.Turn` claims it, tells the lease keeper (`link`), starts it (`plain` in the main thread, or as a task of the
event loop), makes an outcome of what it returned or raised (`attempt`), and finishes it together with the next claim.

Words that are the worker's own: the *baton* is one record for each job of a batch that has not started, and only who takes the
record may start the job or give it back; the *bell* wakes processes that stand by; a process's *appetite* is how many jobs it claims
at once, by the *pace* of their types; a *suspect* is a job under which a process died before it was known that it had started.
"""
