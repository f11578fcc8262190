#!lua flags=allow-oom
-- Let a paused lane go on. Cost: O(log lanes).
-- include: keys, ring
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: 1 resumed now, 0 it was not paused
local changed = redis.call('HDEL', P .. 'limits', 'p:' .. ARGV[1])
touch(ARGV[1])
flush_ring()
return changed
