-- Retries whose time has come.
-- include: keys, time, bands, jobs, ring, types

-- Make retries whose time has come startable.
local function promote_retries(limit)
  local ids = redis.call('ZRANGE', P .. 'retries', '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local user = read_head(id)
    if user then drop_foreign(lane_key(user), 'zset') end
    redis.call('ZREM', P .. 'retries', id)
    if user then
      redis.call('ZADD', lane_key(user), 'XX', score_in(has_run(id) and DUE or WAITING, seq_of(id)), id)
      touch(user)
    end
  end
end
