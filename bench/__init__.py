"""Measurements of the system beside its peers, the demo, and the figures of the source tree.

- `demo`         what `make demo` runs
- `throughput`   jobs a second and processor time a job, beside plain Celery
- `latency`      from accepted to started on an idle system, beside plain Celery
- `enqueue`      HTTP enqueue, beside a plain FastAPI endpoint
- `scripts`      what a call of each Lua script costs Redis
- `promises`     waiting jobs, fairness and kills under load, each with a target
- `autoscaling`  our rule beside other autoscalers, in a simulation
- `figures`      modules, functions, docstrings and assertions of a source tree

`processes` starts servers and workers for them, `handlers` and `plain_celery` hold what these run.
"""
