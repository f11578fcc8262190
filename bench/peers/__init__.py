"""Laneway beside its peers: what a team would use instead, each on the same Valkey, in the same run.

    make bench                                  the whole: about two hours
    make bench QUICK=1                          within 5 minutes
    make bench ONLY=throughput,latency          some cases
    make bench-table RESULTS=bench/results/...  write README's table from a results file

One run is one peer on a Valkey of its own: a producer, a worker, and jobs that append 24 bytes to a file. Runs of Laneway stand
between those of the peers, because a machine changes over an hour.

- `catalogue`  the peers and how to start them; `adapters/` holds their programs
- `install`    fetches pinned peers into a cache outside of the repository
- `run`        one peer on a fresh Valkey; `records` reads what its jobs wrote
- `plan`       what a whole and a quick benchmark measure
- `cases/`     one module a question
- `results`    the file that a benchmark writes; `statistics` medians and quantiles
- `targets`    what Laneway must reach; `report` and `plots` show the results, `readme` puts them into README
"""
