#!lua flags=allow-oom
-- Start nothing more of a lane until it is resumed. Running jobs go on. Cost: O(log lanes).
-- include: keys, ring
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: 1 paused now, 0 it was paused before
redis.call('ZCARD', lane_key(ARGV[1])) -- refused if the lane has another type: nothing has changed yet
local changed = redis.call('HSET', P .. 'limits', 'p:' .. ARGV[1], 1)
touch(ARGV[1])
flush_ring()
return changed
