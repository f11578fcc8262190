#!lua flags=no-writes
-- A user's jobs that MongoDB does not have yet, newest first. Cost: O(page + slots + 1,000 ended jobs at most).
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] accepted before, microseconds since 2020 (exclusive)   ARGV[3] most jobs
-- Reply: {id, spec, ended or nil, {field, value...}}...
local user, before = ARGV[1], math.min(tonumber(ARGV[2]), W) -- beyond W it would reach into the next band
local lane, ids = lane_key(user), {}
for _, band in ipairs({ 3 * W, 2 * W, W, 0 }) do
  local found = redis.call('ZRANGE', lane, '(' .. int(before - band), int(-band), 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[3])
  for _, id in ipairs(found) do ids[#ids + 1] = id end
end
local line = user .. '\n'
for _, id in ipairs(redis.call('LRANGE', P .. 'outbox', -1000, -1)) do
  local mine = seq_of(id) < before and redis.call('GETRANGE', spec_key(id), 0, #line - 1) == line
  if mine then ids[#ids + 1] = id end
end
table.sort(ids, function(a, b) return a > b end)
local replies = {}
for i = 1, math.min(#ids, tonumber(ARGV[3])) do
  local id = ids[i]
  replies[i] = { id, redis.call('GET', spec_key(id)), redis.call('GET', ended_key(id)), redis.call('HGETALL', job_key(id)) }
end
return replies
