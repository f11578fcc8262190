#!lua flags=allow-oom
-- Ask for permits for claimed jobs of limited types. A job that gets none goes back to its place uncharged, blocks its lane, and
-- waits until it is called (call_waiters) or until the rate lets it start. Jobs that wait are served first come first served.
-- Guarantee: fenced; never more permits than the asker's limits allow. Cost: O(permits of the types + log n) a job.
-- include: keys, time, bands, permits, granting, declaring, returns, ends, ring, types
-- KEYS[1] prefix
-- ARGV[1..] for each job: lease (<token>:<id>), user, type, maximum of running jobs or 0, maximum of starts in a period or 0,
--   the period in ms
-- Reply: for each job 1 it has a permit, 3 it waits, 2 cancelled, 0 the lease is another's or the job has started
local BACKSTOP_MS = 60000 -- a waiting job asks again after this long, even if nobody calls it
for at = 1, #ARGV, 6 do
  drop_foreign_keys(ARGV[at + 1], id_of(ARGV[at]))
  drop_foreign(permits_key(ARGV[at + 2]), 'zset')
  drop_foreign(waiting_key(ARGV[at + 2]), 'zset')
  drop_foreign(starts_key(ARGV[at + 2]), 'list')
end
local limits_by_type, free_by_type = {}, {}
local function declare(at)
  local type_name, max_running, starts, period_ms = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if not limits_by_type[type_name] then
    declare_limits(type_name, max_running .. ' ' .. starts .. ' ' .. period_ms)
    limits_by_type[type_name] = { max_running = tonumber(max_running), starts = tonumber(starts), period_us = period_ms * 1000 }
    free_by_type[type_name] = count_free(type_name, limits_by_type[type_name])
  end
  return type_name, limits_by_type[type_name]
end

local function grant(type_name, limits, lease)
  redis.call('ZREM', waiting_key(type_name), id_of(lease))
  if limits.max_running > 0 then redis.call('ZADD', permits_key(type_name), int(now_us), lease) end
  if limits.starts > 0 then
    redis.call('LPUSH', starts_key(type_name), int(now_us))
    redis.call('LTRIM', starts_key(type_name), 0, limits.starts - 1)
    redis.call('PEXPIRE', starts_key(type_name), int(limits.period_us / 1000 + 1))
  end
  free_by_type[type_name] = free_by_type[type_name] - 1
end

local is_any_timed = false -- whether a job waits for a moment that processes which stand by do not know
local function refuse(type_name, user, lease, wait_us)
  local id = id_of(lease)
  redis.call('ZREM', P .. 'leases', lease)
  touch(user)
  if return_job(user, id, wait_us > 0 and math.ceil(wait_us / 1000) + 1 or BACKSTOP_MS) then
    redis.call('ZREM', waiting_key(type_name), id)
    return 2
  end
  is_any_timed = is_any_timed or wait_us > 0
  redis.call('ZADD', waiting_key(type_name), 'NX', int(now_us), id)
  return 3
end

local function ask(at)
  local lease, user = ARGV[at], ARGV[at + 1]
  local score = redis.call('ZSCORE', P .. 'leases', lease) and redis.call('ZSCORE', lane_key(user), id_of(lease))
  if not score or not is_claimed(score) then return 0 end
  local type_name, limits = declare(at)
  local ahead = redis.call('ZRANK', waiting_key(type_name), id_of(lease)) or redis.call('ZCARD', waiting_key(type_name))
  local is_free, at_us = ahead < free_by_type[type_name], start_us(type_name, limits, ahead)
  if not is_free or at_us > 0 then return refuse(type_name, user, lease, is_free and at_us - now_us or 0) end
  grant(type_name, limits, lease)
  return 1
end

local replies = {}
for at = 1, #ARGV, 6 do replies[#replies + 1] = ask(at) end
flush_ends()
flush_ring()
if is_any_timed and redis.call('LLEN', P .. 'wakeups') == 0 then redis.call('RPUSH', P .. 'wakeups', '1') end
return replies
