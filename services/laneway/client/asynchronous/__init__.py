"""The client for programs with an event loop. The one without is generated from it, see `laneway.client.synchronous`."""
