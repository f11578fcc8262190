-- Retries whose time has come.
-- include: keys, time, bands, jobs, ring, types

-- Make retries whose time has come startable. Returns when the first of those that are left is due, in ms since 2020; infinity if
-- none is left.
local function promote_retries(limit)
  local key = P .. 'retries'
  local function next_due() return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or math.huge) end
  local first = next_due()
  if first > now_ms then return first end
  for _, id in ipairs(redis.call('ZRANGE', key, '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, limit)) do
    drop_foreign(spec_key(id), 'string')
    local user = read_head(id)
    if user then drop_foreign(lane_key(user), 'zset') end
    redis.call('ZREM', key, id)
    if user then
      redis.call('ZADD', lane_key(user), 'XX', score_in(has_run(id) and DUE or WAITING, seq_of(id)), id)
      touch(user)
    end
  end
  return next_due()
end
