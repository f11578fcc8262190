"""The fault engine: run the whole system as real processes, break it in every way we know, and judge what happened.

    python -m chaos --minutes 3 --seed 1     # or: make chaos MINUTES=3 SEED=1

A run has four parts, each with a package or module of its own:

- `system`   APIs, workers, a Valkey on a disk that can lose data, a MongoDB-protocol server, and a network between them that
             can fail. Programs that end are started again, as a cluster would do it.
- `clients`  users who enqueue, cancel and hold live connections, and who record every answer.
- `faults`   every kind of fault: how it is injected, and what the checker must know about it.
- `checker`  pure functions from the records of a run to a verdict. They know the promises and nothing of the implementation.

`records` defines what everybody writes down, `run` puts the parts together, and `recovery` measures how soon the system is back
at full speed. The tests in `tests/faults` use the same parts for single scenarios.
"""
