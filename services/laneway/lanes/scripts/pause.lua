#!lua flags=allow-oom
-- Start nothing more of a lane until it is resumed. What runs goes on. Cost: O(log lanes).
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: 1 paused now, 0 it was paused
local changed = redis.call('HSET', P .. 'limits', 'p:' .. ARGV[1], 1)
update_ring(ARGV[1])
flush()
return changed
