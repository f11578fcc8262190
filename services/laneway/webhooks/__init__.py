"""Webhooks: an HTTP request to a user's own server when a job has ended, signed as Standard Webhooks says.

A delivery is a job of the type `@webhook` in a lane of its webhook, so order, retries and crashes are the lanes' business.

- `events`: what is delivered
- `deliveries`: a delivery as the payload of a job, and the jobs' type
- `signing`: the secret of a webhook, and the headers that prove a delivery
- `addresses`: where deliveries may go
- `sending`: one attempt, in a worker's process

`laneway.storage.webhooks` stores webhooks, and `laneway.announcing` makes deliveries of ended jobs.
"""
