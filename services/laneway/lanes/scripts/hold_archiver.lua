#!lua flags=allow-oom
-- Become the one janitor that archives, or stay so. Cost: O(1).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] token of this janitor   ARGV[2] how long it holds the lock from now, ms
-- Reply: 1 held, 0 another janitor holds it
local holder = redis.call('GET', P .. 'archiver')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', P .. 'archiver', ARGV[1], 'PX', ARGV[2])
return 1
