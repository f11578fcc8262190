#!lua flags=no-writes
-- Read a user's jobs that MongoDB does not have yet, newest first. Cost: O(page + slots + 1,000 ended jobs at most).
-- include: keys, bands
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] accepted before, microseconds since 2020 (exclusive)   ARGV[3] maximum of jobs
-- Reply: {id, spec, ended or nil, {field, value...}}...
local user, before_us = ARGV[1], math.min(tonumber(ARGV[2]), W) -- beyond W it would reach into the next band
local lane, ids = lane_key(user), {}
for _, band in ipairs({ CLAIMED, STARTED, DUE, WAITING }) do
  local from, to = '(' .. score_in(band, before_us), int(band)
  for _, id in ipairs(redis.call('ZRANGE', lane, from, to, 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[3])) do ids[#ids + 1] = id end
end
local first_line = user .. '\n'
for _, id in ipairs(redis.call('LRANGE', P .. 'outbox', -1000, -1)) do
  local is_asked_for = seq_of(id) < before_us
  if is_asked_for and redis.call('GETRANGE', spec_key(id), 0, #first_line - 1) == first_line then ids[#ids + 1] = id end
end
table.sort(ids, function(a, b) return a > b end)
local replies = {}
for i = 1, math.min(#ids, tonumber(ARGV[3])) do
  local id = ids[i]
  replies[i] = { id, redis.call('GET', spec_key(id)), redis.call('GET', ended_key(id)), redis.call('HGETALL', job_key(id)) }
end
return replies
