#!lua flags=allow-oom
-- Record that claimed jobs have started: they are charged an attempt, and their lanes may be given to others again; or
-- that they are about to (`about`): they are charged, and their lanes wait until they have.
-- Guarantee: fenced; repeating it changes nothing. Cost: O(log n) a job.
-- KEYS[1] prefix
-- ARGV[1] worker   ARGV[2] 1 about to start, 0 started   ARGV[3..] for each job: lease (<token>:<id>), user, attempt, start in microseconds since 2020
-- Reply: for each job 1 started, 0 the lease is another's, 2 started and it has been asked to stop
local replies = {}
for at = 3, #ARGV, 4 do
  local lease, user, id = ARGV[at], ARGV[at + 1], id_of(ARGV[at])
  local reply = 0
  if redis.call('ZSCORE', P .. 'leases', lease) then
    reply = 1 + redis.call('HEXISTS', P .. 'cancels', id)
    redis.call('HSET', job_key(id), 'state', 'running', 'attempts', ARGV[at + 2], 'started_us', ARGV[at + 3],
      'worker', ARGV[1])
    if ARGV[2] == '0' then redis.call('ZADD', lane_key(user), 'XX', int(seq_of(id) - 2 * W), id) end
    publish(user, id, 'running', ARGV[at + 2])
    update_ring(user)
  end
  replies[#replies + 1] = reply
end
flush()
return replies
