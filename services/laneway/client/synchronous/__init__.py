"""The client for programs without an event loop: `laneway.client.asynchronous` without `async` and `await`.

`python docs/synchronous_client.py` (in `make docs`) writes all modules but `presence`, and a test compares them.
"""
