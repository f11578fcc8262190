"""The process beside the pool: it renews leases, notices the deaths of pool processes and gives back what they held."""
