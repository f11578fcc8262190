#!lua flags=allow-oom
-- Let a paused lane go on. Cost: O(log lanes).
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: 1 resumed now, 0 it was not paused
local changed = redis.call('HDEL', P .. 'limits', 'p:' .. ARGV[1])
update_ring(ARGV[1])
flush()
return changed
