"""The lanes decide whose job is next. This is the engine; everything else feeds it or serves it.

How it works
------------

A user's requests become *jobs* in the user's *lane*, a first-in-first-out queue. A lane has *slots*, the number of its jobs
that may be in flight at once. The *ring* lists the lanes that have a job ready and a free slot, in round-robin order.

A worker *claims* jobs off the ring, one lane after another. Each claimed job comes with a *lease*: a deadline and a fencing
token. The worker renews the lease while it lives and finishes the job with the token. A finish whose token has been replaced
changes nothing.

Every change is one Lua script, so it is atomic, and no step depends on the number of users.

One sorted set per lane
-----------------------

A lane is a sorted set of job ids. A job's score says where it is. The lowest scores are in flight; the next ones start next:

    waiting ──claim──▶ claimed ──start──▶ started ──finish──▶ ended: out of the lane, into the outbox, then MongoDB
                          ▲                  │
                          │                fail
                          │                  ▼
                          └─────claim────── due ◀── (waits for its retry, still `started`)

    claimed   has a lease and is not known to run    no other process is given jobs of this lane
    started   runs, or waits for its retry           holds a slot, from its first start to its end
    due       its retry may start now                keeps its slot and comes before all waiting jobs
    waiting   has not started yet                    holds no slot

Within a band jobs are ordered by the moment at which they entered the lane, which is also the head of a job's id. So a job that
comes back (for a retry, or because its worker stopped or died) finds its old place by its id alone. Order survives everything,
and no other code has to care about it.

A job enters its lane when it is accepted, unless it is *delayed*: then it enters at a later moment, which its id names from the
start. Until then it is in no lane: it is kept apart, with the delayed jobs of all users in the order of their moments
(`scripts/_delays.lua`). A claim admits what is due before it takes anything, and so does the janitor, each second. So no job that
entered later starts before one that was due. A claim's reply says when the next delayed job is due, as it does for retries,
and a process that stands by claims at that moment.

Why are claimed and started two bands? A claimed job may never start: its worker can die first. If the same lane were given to
a second worker meanwhile, that worker could start a younger job before the older one. So a lane with a claimed job is given to
nobody else, until its worker says that the job has started. Workers say it in time: together with the finish of the job if it
was quick, by itself if it was not.

Attempts and losses
-------------------

An *attempt* is a run that came to an end of its own: the handler returned, raised, or ran into its time limit. It is charged to
the job that made it. A *loss* is a run that was cut short because its process or its worker died. It is never charged: the job
comes back to the head of its lane and keeps its slot. What happens to it depends on what is known:

    known culprit (a time limit)          its attempt has failed; the other jobs of the process come back
    one job ran in the dead process       it has a loss and is a *suspect*; after `max_losses` in a row it has failed
    several jobs ran in the dead process  each is a suspect, none has a loss
    the whole worker is lost              counted apart; from the second in a row on with a backoff, and as a suspect;
                                          after `max_worker_losses` in a row it has failed
    an orderly shutdown                   nothing: the job comes back

A worker runs a suspect alone. So a bystander meets the job that kills its process at most once, and never pays for it. An attempt
that ends by itself clears suspicion and losses (`scripts/_losses.lua`, docs/decisions/0039-who-is-charged.md).

The rule of the ring
--------------------

    A lane is in the ring if and only if it is not paused, none of its jobs is claimed,
    and one of its first `slots` jobs is due or waiting.

Each script that changes a lane applies this rule before it returns (`scripts/_ring.lua`).

What is stored once, and what is not stored
-------------------------------------------

`spec` holds what was accepted and never changes. `job` holds what is known while the job is under way. `ended` says how it
ended, until MongoDB has it. Nothing is counted: jobs in flight are the members of `leases`, and taken slots are members of
the lane. So there is no counter that could drift.

When Redis loses something
--------------------------

Keys can be evicted, overwritten or lost with a disk. The rules above are about keys that agree with each other, so damage shows,
and most of it can be mended from what is left. The janitor checks a slice of everything each second (`checker`):

- A lane is in the ring if and only if the rule says so, and it is in the index of lanes if and only if it holds something.
- Every job that occupies a slot has a lease or waits for a retry. Every lease and every retry has its job in a lane.
- Every accepted job that has not ended is in its lane, or among the delayed jobs. Every ended one is in the outbox.
- Every job has its spec. A job whose spec is lost cannot run any more: it ends once, as failed, with the reason `lost`.

Workers assert what only they know (the turn message, the default number of slots), so a Redis that comes back empty serves new
jobs within seconds.

All or nothing
--------------

A script cannot be rolled back, so nothing may stop it in the middle. Redis refuses a script for want of memory, or on a replica,
before it starts. Each writing script begins with a check that the ACL allows all its commands (`scripts/__init__.py` puts it
there). Events are published by `pcall`: a job matters more than its event.

Promises
--------

Each has a test of its name in tests/lanes/test_promises.py:

1. An accepted job ends once: as succeeded, failed or cancelled.
2. Jobs of a lane start in the order in which they entered it (they were accepted, or their delay was over), at most `slots` at
   once, across retries, crashes and releases.
3. A late finish changes nothing.
4. A user with one job waits for at most one round of the ring.
5. A holder that renews its lease keeps the job. A holder that lets it run out loses the job, which is not charged for it.
6. The cost of a step does not grow with the number of users, beyond the logarithm of a sorted set. A user without jobs leaves
   no key.

Where to read on
----------------

`scripts/_keys.lua`  the catalogue of keys
`scripts/claim.lua`  the heart of it
`commands`           a class for each script: what goes in, what comes out
`store`              `Lanes` and `AsyncLanes` send commands
`model`, `codec`     the values that commands take and return, and how Redis holds them
`survey`, `purge`    what takes many commands
`checker`, `health`  what is damaged, and what Redis refuses
"""
