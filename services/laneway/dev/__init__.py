"""One machine: `laneway dev` starts a Valkey and a MongoDB-protocol server, the API and a worker, and keeps them running.

These are the programs of the image, each a child process. A child that ends unasked is started again. They stop in the order
of their dependencies: API, worker, servers. Everything they print goes through this process into one log file, so there is one
writer and rotation tears no line. `LANEWAY_REDIS_URL` and `LANEWAY_MONGO_URL` replace the embedded servers.
"""
