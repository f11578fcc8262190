#!lua flags=no-writes
-- Read a user's jobs that MongoDB does not have yet, in order of their seq. Cost: O(page + slots + 1,000 ended jobs at most).
-- include: keys, bands, delays, later
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] seq before or after this, exclusive   ARGV[3] maximum of jobs
-- ARGV[4] newest | oldest, which come first: newest means before that seq, oldest means after it
-- Reply: {id, spec, ended or nil, {field, value...}, delayed and not in its lane yet 0 | 1}...
local user, bound_us = ARGV[1], math.min(tonumber(ARGV[2]), W) -- beyond W it would reach into the next band
local is_up = ARGV[4] == 'oldest'
local ids = {}
local function read(key, band)
  local bound = '(' .. score_in(band, bound_us)
  if is_up then
    return redis.call('ZRANGE', key, bound, '(' .. int(band + W), 'BYSCORE', 'LIMIT', 0, ARGV[3])
  end
  return redis.call('ZRANGE', key, bound, int(band), 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[3])
end
for _, band in ipairs({ CLAIMED, STARTED, DUE, WAITING }) do
  for _, id in ipairs(read(lane_key(user), band)) do ids[#ids + 1] = id end
end
for _, id in ipairs(read(delayed_key(user), WAITING)) do ids[#ids + 1] = id end
local first_line = user .. '\n'
for _, id in ipairs(redis.call('LRANGE', P .. 'outbox', -1000, -1)) do
  local is_within = is_up and seq_of(id) > bound_us or not is_up and seq_of(id) < bound_us
  if is_within and redis.call('GETRANGE', spec_key(id), 0, #first_line - 1) == first_line then ids[#ids + 1] = id end
end
table.sort(ids, function(a, b) return is_up and a < b or not is_up and a > b end)
local replies = {}
for i = 1, math.min(#ids, tonumber(ARGV[3])) do
  local id = ids[i]
  local later = later_spec(user, id)
  local spec, ended = later or redis.call('GET', spec_key(id)), redis.call('GET', ended_key(id))
  replies[i] = { id, spec, ended, redis.call('HGETALL', job_key(id)), later and 1 or 0 }
end
return replies
