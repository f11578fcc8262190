#!lua flags=allow-oom
-- Cancel one job: at once if it does not run, else ask it to stop.
-- Cost: O(log n) of the lane.
-- include: keys, bands, jobs, ends, ring, delays, undelaying
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id   ARGV[3] reason   ARGV[4] whether a running job is asked to stop, 0 | 1
-- Reply: cancelled | stopping | running (it was not asked to stop) | ended | unknown
local user, id, reason = ARGV[1], ARGV[2], ARGV[3]
local score = redis.call('ZSCORE', lane_key(user), id)
if not score and redis.call('ZSCORE', delayed_key(user), id) then
  end_delay(user, id)
elseif not score then
  return read_head(id) == user and 'ended' or 'unknown'
elseif not is_startable(score) and redis.call('ZREM', P .. 'retries', id) == 0 then
  if ARGV[4] == '0' and not is_claimed(score) then return 'running' end
  redis.call('HSET', P .. 'cancels', id, reason)
  return 'stopping'
end
stage_end_unheld(user, id, 'cancelled', reason)
touch(user)
flush_ends()
flush_ring()
return 'cancelled'
