#!lua flags=no-writes
-- Look at one lane. Cost: O(slots + log n).
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: {jobs that do not run, jobs that run, jobs in all, slots, paused 0|1, seq of the oldest job or '' if none}
local user = ARGV[1]
local lane = lane_key(user)
local running = 0
for _, id in ipairs(redis.call('ZRANGE', lane, '-inf', '(' .. int(-W), 'BYSCORE')) do
  if not redis.call('ZSCORE', P .. 'retries', id) then running = running + 1 end
end
local size, oldest = redis.call('ZCARD', lane), ''
for _, band in ipairs({ -3 * W, -2 * W, -W, 0 }) do
  local first = redis.call('ZRANGE', lane, int(band), '(' .. int(band + W), 'BYSCORE', 'LIMIT', 0, 1)[1]
  if first and (oldest == '' or first < oldest) then oldest = first end
end
local limit = redis.call('HMGET', P .. 'limits', '*', 'c:' .. user, 'p:' .. user)
local cap, paused = tonumber(limit[2] or limit[1] or '5'), limit[3] and 1 or 0
return { size - running, running, size, cap, paused, string.sub(oldest, 1, 13) }
