#!lua flags=allow-oom
-- Give back claimed jobs that have not started. Each returns to its place in its lane uncharged, or is cancelled if it was
-- asked to stop. A job that was charged because it was about to start is uncharged again. Lanes of which nothing started
-- return to the front of the ring.
-- Guarantee: fenced; a job that has started is left alone. Cost: O(log n) a job.
-- include: keys, bands, jobs, returns, ends, ring
-- KEYS[1] prefix
-- ARGV[1..] for each job: lease (<token>:<id>), user
-- Reply: for each job 1 returned, 2 cancelled, 0 the lease is another's or the job has started
local function uncharge(id)
  if redis.call('HINCRBY', job_key(id), 'attempts', -1) == 0 then
    redis.call('UNLINK', job_key(id))
  else
    redis.call('HSET', job_key(id), 'state', 'retrying')
  end
end

local replies = {}
for at = 1, #ARGV, 2 do
  local lease, user, id = ARGV[at], ARGV[at + 1], id_of(ARGV[at])
  local score = redis.call('ZSCORE', lane_key(user), id)
  local reply = 0
  if score and is_claimed(score) and redis.call('ZREM', P .. 'leases', lease) == 1 then
    if is_charged(id, score) then uncharge(id) end
    reply = return_job(user, id) and 2 or 1
    touch(user)
  end
  replies[#replies + 1] = reply
end
flush_ends()
flush_ring(true)
return replies
