-- Delayed jobs whose moment has come enter their lanes.
-- include: keys, time, bands, ring, types, delays, undelaying

local function admit(user, id)
  drop_foreign(lane_key(user), 'zset')
  drop_foreign(delayed_key(user), 'zset')
  drop_foreign(later_key(id), 'string')
  end_delay(user, id)
  redis.call('ZADD', lane_key(user), score_in(WAITING, seq_of(id)), id)
  redis.call('ZADD', P .. 'lanes', 0, user)
  touch(user)
end

-- Admit the next delayed jobs of one user that are due.
local function admit_due_of(user, max_jobs)
  drop_foreign(delayed_key(user), 'zset')
  local ids = redis.call('ZRANGE', delayed_key(user), '-inf', int(now_us), 'BYSCORE', 'LIMIT', 0, max_jobs)
  for _, id in ipairs(ids) do admit(user, id) end
end

-- Milliseconds until whichever comes first, a delayed job's entry or a retry; -1 if there is neither.
local function ms_until_due(next_entry_us, next_retry_ms)
  local next_ms = math.min(next_retry_ms, next_entry_us / 1000)
  return next_ms < math.huge and math.max(0, math.ceil(next_ms - now_us / 1000)) or -1
end

-- Admit the next delayed jobs that are due. Returns when the first of those that are left is due, in microseconds since 2020;
-- infinity if none is left. While nothing is delayed, it costs one ZRANGE.
local function admit_due(max_jobs)
  local key = P .. 'delayed'
  local function next_due() return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or math.huge) end
  local first = next_due()
  if first > now_us then return first end
  -- Each is refused if its key has another type: nothing has changed yet.
  redis.call('ZCARD', P .. 'lanes')
  redis.call('ZCARD', P .. 'ring')
  redis.call('ZCARD', P .. 'retries')
  redis.call('HLEN', P .. 'limits')
  redis.call('GET', P .. 'clock')
  for _, member in ipairs(redis.call('ZRANGE', key, '-inf', int(now_us), 'BYSCORE', 'LIMIT', 0, max_jobs)) do
    local user, id = string.match(member, '^(.*):(' .. string.rep('%x', ID_LENGTH) .. ')$')
    if user then admit(user, id) else redis.call('ZREM', key, member) end
  end
  return next_due()
end
