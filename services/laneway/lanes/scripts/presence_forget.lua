#!lua flags=allow-oom
-- Forget a disconnected user whose lane was dealt with, unless it has disconnected once more since. Cost: O(log n).
-- include: presence
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] us since 2020, as presence_sweep returned it
-- Reply: 1 forgotten, 0 not
if tonumber(redis.call('ZSCORE', departed_key, ARGV[1])) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', departed_key, ARGV[1])
