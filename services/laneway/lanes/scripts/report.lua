#!lua
-- Store what a program reports about itself, for administrators. The report expires unless the program repeats it in time.
-- Guarantee: repeating it replaces the report. Expired reports leave nothing in Redis. Cost: O(log n).
-- include: keys, time, types
-- KEYS[1] prefix
-- ARGV[1] kind   ARGV[2] name of the reporter   ARGV[3] report, opaque   ARGV[4] how long it is valid, ms
-- Reply: 1
local names, lifetime_ms = P .. 'reports:' .. ARGV[1], tonumber(ARGV[4])
drop_foreign(names, 'zset')
redis.call('ZADD', names, now_ms + lifetime_ms, ARGV[2])
redis.call('ZREMRANGEBYSCORE', names, '-inf', now_ms)
redis.call('PEXPIRE', names, math.max(lifetime_ms, redis.call('PTTL', names)))
redis.call('SET', P .. 'report:' .. ARGV[1] .. '/' .. ARGV[2], ARGV[3], 'PX', lifetime_ms)
return 1
