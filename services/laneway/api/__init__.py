"""The HTTP face: FastAPI on gunicorn with uvicorn workers. Stateless: what is live is in Redis, what is kept in MongoDB.

`server` runs processes, each with an app (`app`) and what that works with (`system`). A request goes through `protocol` (limits of
its head), `front` (times it, and serves `POST /api/enqueue` itself, the hot path), then FastAPI's `routers`. Bodies come by `body`
and become jobs in `intake`; jobs are found by `lookup` and shown by `views`; whatever goes wrong is answered by `errors`.
"""
