"""The HTTP face: FastAPI on gunicorn with uvicorn workers. Stateless: what is live is in Redis, what is kept in MongoDB."""
