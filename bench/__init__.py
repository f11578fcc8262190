"""Measurements of the system, the demo, and the figures of the source tree.

- `demo`         what `make demo` runs
- `peers`        what `make bench` runs: everything beside other queues
- `enqueue`      HTTP enqueue, beside a plain FastAPI endpoint
- `memory`       memory and idle processor time of worker and API
- `scripts`      what a call of each Lua script costs Redis
- `steps`        what the steps of a job cost a worker's Python
- `instructions` what a job costs Redis, in instructions
- `versions`     what a job costs another version and this one, in processor time
- `promises`     waiting jobs, fairness and kills under load, each with a target
- `attack`       what attackers do to a bystander
- `streams`      thousands of open event streams on one API process
- `install`      sizes and import times of each extra
- `autoscaling`  our rule beside other autoscalers, in a simulation
- `dashboard`    the dashboard in Chromium under load
- `first_request` from the install to the first answer
- `figures`      modules, functions, docstrings and assertions of a source tree

`processes` starts servers and workers for them, `http_load` is their HTTP client, and `handlers` holds what workers run.
"""

import os

# Many an image sets it. A process that is measured would then compile every module: 1 s more to start, 25 MB more memory for a worker.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
