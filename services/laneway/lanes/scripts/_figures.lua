-- The figures of a lane in a list of lanes.
-- include: keys, bands, limits

-- Jobs in all, slots taken, slots (0: paused). Followers take no slot of their own.
local function figures_of(user)
  local lane = lane_key(user)
  local taken, slots, is_paused = redis.call('ZCOUNT', lane, '-inf', '(0'), limits_of(user)
  if taken > slots then taken = math.max(slots, redis.call('ZCOUNT', lane, int(STARTED), '(0')) end
  return redis.call('ZCARD', lane), taken, is_paused and 0 or slots
end
