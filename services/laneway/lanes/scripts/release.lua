#!lua flags=allow-oom
-- Give back claimed jobs that have not started. Each returns to its place in its lane, at once or after a delay, or is
-- cancelled if it was asked to stop. Lanes of which nothing started return to the front of the ring.
-- Guarantee: fenced; a job that has started is left alone. Cost: O(log n) a job.
-- include: keys, bands, returns, ends, ring, types
-- KEYS[1] prefix
-- ARGV[1] delay, ms   ARGV[2..] for each job: lease (<token>:<id>), user
-- Reply: for each job 1 returned, 2 cancelled, 0 the lease is another's or the job has started
local delay_ms, replies = tonumber(ARGV[1]), {}
for at = 2, #ARGV, 2 do drop_foreign_keys(ARGV[at + 1], id_of(ARGV[at])) end
for at = 2, #ARGV, 2 do
  local lease, user, id = ARGV[at], ARGV[at + 1], id_of(ARGV[at])
  local score = redis.call('ZSCORE', lane_key(user), id)
  local reply = 0
  if score and is_claimed(score) and redis.call('ZREM', P .. 'leases', lease) == 1 then
    reply = return_job(user, id, delay_ms) and 2 or 1
    touch(user)
  end
  replies[#replies + 1] = reply
end
flush_ends()
flush_ring(true)
return replies
