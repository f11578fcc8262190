#!lua flags=no-writes
-- Read the state of one lane. Cost: O(claimed jobs + slots + log n).
-- include: keys, bands, limits, delays
-- KEYS[1] prefix
-- ARGV[1] user
-- Reply: {jobs that do not run, jobs that run, jobs in all, slots, paused 0|1, seq of the oldest job or '' if none,
--         delayed jobs that are not in the lane yet}
local user = ARGV[1]
local lane = lane_key(user)
local slots, is_paused = limits_of(user)
local function count_held(from, to)
  local held = 0
  for _, id in ipairs(redis.call('ZRANGE', lane, from, to, 'BYSCORE')) do
    if not redis.call('ZSCORE', P .. 'retries', id) then held = held + 1 end
  end
  return held
end
local started = count_held(int(STARTED), BELOW_DUE)
local claimed = count_held('-inf', '(' .. int(STARTED))
local running = math.min(started + claimed, math.max(started, slots)) -- the followers among the claimed jobs do not run
local size, oldest = redis.call('ZCARD', lane), ''
for _, band in ipairs({ CLAIMED, STARTED, DUE, WAITING }) do
  local first = redis.call('ZRANGE', lane, int(band), '(' .. int(band + W), 'BYSCORE', 'LIMIT', 0, 1)[1]
  if first and (oldest == '' or first < oldest) then oldest = first end
end
return { size - running, running, size, slots, is_paused and 1 or 0, string.sub(oldest, 1, 13),
  redis.call('ZCARD', delayed_key(user)) }
