#!lua flags=allow-oom
-- Let another janitor archive. Cost: O(1).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] token of this janitor
-- Reply: 1 left, 0 it did not hold the lock any more
if redis.call('GET', P .. 'archiver') ~= ARGV[1] then return 0 end
return redis.call('UNLINK', P .. 'archiver')
