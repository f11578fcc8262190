#!lua flags=allow-oom
-- Set how many jobs of a lane may be in flight. A lowered limit interrupts nothing. Cost: O(log lanes).
-- include: keys, ring
-- KEYS[1] prefix
-- ARGV[1] user, or * for the default   ARGV[2] slots, '' to use the default again
-- Reply: OK
redis.call('ZCARD', lane_key(ARGV[1])) -- refused if the lane has another type: nothing has changed yet
local field = ARGV[1] == '*' and '*' or 'c:' .. ARGV[1]
if ARGV[2] == '' then
  redis.call('HDEL', P .. 'limits', field)
else
  redis.call('HSET', P .. 'limits', field, ARGV[2])
end
if ARGV[1] ~= '*' then
  touch(ARGV[1])
  flush_ring()
end
return 'OK'
