"""The HTTP API: FastAPI on gunicorn with uvicorn workers. It is stateless: Redis holds what is live, MongoDB what is kept.

`server` runs the processes. `app` assembles what each of them serves, in the order in which a request meets it, and `startup`
opens what it works with (`system`). A body is read by `body` and becomes jobs in `intake`. Jobs are found by `lookup` and shown
by `views`. `errors` answers everything that goes wrong.
"""

import laneway.compat.structlog  # noqa: F401 - before any module here imports structlog
