#!lua flags=allow-oom
-- Let a paused lane go on. Cost: O(log lanes).
-- include: keys, ring
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: 1 resumed now, 0 it was not paused
redis.call('ZCARD', lane_key(ARGV[1])) -- refused if the lane has another type: nothing has changed yet
local changed = redis.call('HDEL', P .. 'limits', 'p:' .. ARGV[1])
touch(ARGV[1])
flush_ring()
return changed
