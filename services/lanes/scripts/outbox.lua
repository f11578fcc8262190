#!lua flags=no-writes
-- The oldest ended jobs that MongoDB does not have yet, whole. Cost: O(jobs).
-- KEYS[1] prefix
-- ARGV[1] most jobs
-- Reply: {id, field, value...}...
local replies = {}
for i, id in ipairs(redis.call('LRANGE', P .. 'done', 0, tonumber(ARGV[1]) - 1)) do
  replies[i] = { id, unpack(redis.call('HGETALL', job_key(id))) }
end
return replies
