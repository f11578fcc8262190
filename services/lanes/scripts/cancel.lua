#!lua flags=allow-oom
-- Cancel one job. What does not run is cancelled at once; what runs is asked to stop.
-- Cost: O(log n) of the lane.
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id   ARGV[3] reason
-- Reply: cancelled | stopping | ended | unknown
local user, id = ARGV[1], ARGV[2]
local job = redis.call('HMGET', job_key(id), 'user', 'state', 'attempts')
if job[1] ~= user then return 'unknown' end
local score = redis.call('ZSCORE', lane_key(user), id)
if not score then return 'ended' end
if tonumber(score) < -W and redis.call('ZREM', P .. 'retries', id) == 0 then
  redis.call('SADD', P .. 'cancels', id)
  redis.call('HSET', job_key(id), 'reason', ARGV[3])
  return 'stopping'
end
end_job(user, id, 'cancelled', job[3], { 'reason', ARGV[3] })
settle(user)
close()
return 'cancelled'
