#!lua flags=allow-oom
-- Cancel one job. What does not run is cancelled at once; what runs is asked to stop.
-- Cost: O(log n) of the lane.
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id   ARGV[3] reason
-- Reply: cancelled | stopping | ended | unknown
local user, id = ARGV[1], ARGV[2]
local score = redis.call('ZSCORE', lane_key(user), id)
if not score then return head_of(id) == user and 'ended' or 'unknown' end
if tonumber(score) < -W and redis.call('ZREM', P .. 'retries', id) == 0 then
  redis.call('HSET', P .. 'cancels', id, ARGV[3])
  return 'stopping'
end
end_here(user, id, 'cancelled', '', ARGV[3])
update_ring(user)
flush()
return 'cancelled'
