#!lua flags=allow-oom
-- Record that claimed jobs have started, and give their lanes to other processes again.
-- Guarantee: fenced; repeating it changes nothing. Cost: O(log n) a job.
-- include: keys, bands, events, ring, types
-- KEYS[1] prefix
-- ARGV[1] worker   ARGV[2..] for each job: lease (<token>:<id>), user, attempt, start in microseconds since 2020
-- Reply: for each job 1 started, 0 the lease is another's, 2 started and it has been asked to stop
local worker, replies = ARGV[1], {}
for at = 2, #ARGV, 4 do drop_foreign_keys(ARGV[at + 1], id_of(ARGV[at])) end
for at = 2, #ARGV, 4 do
  local lease, user, attempt, id = ARGV[at], ARGV[at + 1], ARGV[at + 2], id_of(ARGV[at])
  local reply = 0
  if redis.call('ZSCORE', P .. 'leases', lease) then
    reply = 1 + redis.call('HEXISTS', P .. 'cancels', id)
    redis.call('HSET', job_key(id), 'state', 'running', 'attempts', attempt, 'started_us', ARGV[at + 3], 'worker', worker)
    redis.call('ZADD', lane_key(user), 'XX', score_in(STARTED, seq_of(id)), id)
    publish(user, id, 'running', attempt)
    touch(user)
  end
  replies[#replies + 1] = reply
end
flush_ring()
return replies
