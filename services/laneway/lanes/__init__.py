"""The lanes: whose job is next.

Words. A user's requests become *jobs* in the user's *lane*, first in, first out. A lane has *slots*: so many of its jobs may be
in flight at once. The *ring* is the list of the lanes that have a job ready and a slot free, in round-robin order. A worker
*claims* jobs off the ring, one lane after another, each under a *lease*: a deadline and a fencing token. It renews the lease while
it lives, and finishes the job with the token; a finish whose token is not the lease's any more changes nothing.

One lane is one sorted set. A job's score says where it is; the lowest scores are in flight, the next start next:

    claimed ──start──▶ started ──finish──▶ ended: out of the lane, into `done`, later into MongoDB
       ▲                 │  ▲
       │ claim           │  └───────────── claim ─┐
       │            fail │                        │
    waiting              └─▶ (retries) ──due──▶ due

    claimed   leased, not known to have started    the lane is given to no other process meanwhile
    started   runs, or waits for its retry         holds a slot from the first start to the end
    due       a retry whose time has come          holds its slot, comes before all that wait
    waiting   in order of acceptance               holds nothing

A job that may take its process with it is charged before it starts, while it is still claimed: its attempt counts should the process die,
and its lane goes on only when it has begun.

Within a band jobs stand in order of acceptance (the head of a job's id is the tick at which it was accepted). So whatever comes
back - a retry, a job of a worker that stopped or died - finds its old place by itself, and order needs no care anywhere else.

A lane is in the ring if and only if it is not paused, none of its jobs is claimed, and one of its first `slots` jobs is due or
waiting. That rule (`ready` in `scripts/_lane.lua`) is asked after every change of a lane, within the same script.

What a job is stands beside its lane: `spec`, a string, is what was accepted; `job`, a hash, has what is known while it is under way;
`ended`, a string, says how it ended, until MongoDB has it.

Nothing is counted beside what is there: jobs in flight are the members of `leases`, slots taken are members of the lane. There is
no number that could drift.

What holds (each has a test of its name in tests/lanes/test_promises.py):

1. An accepted job ends once: succeeded, failed or cancelled.
2. Jobs of a lane start in order of acceptance, at most `slots` at once, across retries, crashes and releases.
3. A late finish changes nothing.
4. A user with one job waits for at most one round of the ring.
5. Who holds a lease keeps the job; who lets it run out loses it, charged an attempt only if it had started the job.
6. No step grows with the number of users, beyond the logarithm of a sorted set; a user without jobs leaves no key.

`commands` has a class for each script, `store.Lanes` and `store.AsyncLanes` send them, `model` is what they speak of, `texts`
reads and writes the strings.
"""
