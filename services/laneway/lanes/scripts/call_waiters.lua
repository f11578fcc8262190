#!lua flags=allow-oom
-- Call the jobs that wait for permits of limited types: as many may start now as there are permits. Called jobs keep their place
-- before those that ask later, until they have asked. A job that has ended, or whose lane has no slot for it, is called no more.
-- Guarantee: repeating it changes nothing. Cost: O(permits + log n of the called jobs) a type; with no limited type, one HGETALL.
-- include: keys, permits, granting, bands, jobs, limits, ring, types
-- KEYS[1] prefix
-- ARGV[1..] types; none: all limited types
-- Reply: how many jobs may start now that waited before
local MAX_LOOKED = 500 -- at jobs of a type; the next call goes on
local called = 0

local function make_startable(user, id)
  redis.call('ZREM', P .. 'retries', id)
  redis.call('ZADD', lane_key(user), 'XX', score_in(has_run(id) and DUE or WAITING, seq_of(id)), id)
  touch(user)
end

-- A job that has run does not block its lane while it waits, so a later job may have come to wait and block the lane. That one
-- asks again, too: otherwise the two would wait for each other.
local function unblock(user)
  local first = redis.call('ZRANGE', lane_key(user), 0, 0, 'WITHSCORES')
  if is_claimed(first[2]) and redis.call('ZSCORE', P .. 'retries', first[1]) then make_startable(user, first[1]) end
end

-- Let a job that waits ask again, now or from `at_us` on. False if it does not wait for a permit, or has no slot.
local function call(id, at_us)
  drop_foreign(spec_key(id), 'string')
  local user = read_head(id)
  if not user then return false end
  drop_foreign(lane_key(user), 'zset')
  local score, due_ms = redis.call('ZSCORE', lane_key(user), id), redis.call('ZSCORE', P .. 'retries', id)
  if not score then return false end
  if not due_ms then
    if not is_startable(score) then return is_claimed(score) end -- a worker is about to ask for it, or it runs
  elseif at_us > 0 then
    redis.call('ZADD', P .. 'retries', 'LT', int(math.ceil(at_us / 1000)), id)
    return true
  else
    make_startable(user, id)
    called = called + 1
  end
  unblock(user)
  return count_taken(lane_key(user)) < usable_slots(user)
end

local function call_type(type_name)
  drop_foreign(permits_key(type_name), 'zset')
  drop_foreign(waiting_key(type_name), 'zset')
  drop_foreign(starts_key(type_name), 'list')
  local limits = limits_of_type(type_name) or { max_running = 0, starts = 0, period_us = 0 }
  if redis.call('ZCARD', waiting_key(type_name)) == 0 then return end
  local free, ahead, looked = count_free(type_name, limits), 0, 0
  while ahead < free and looked < MAX_LOOKED do
    local id = redis.call('ZRANGE', waiting_key(type_name), ahead, ahead)[1]
    if not id then return end
    looked = looked + 1
    if call(id, start_us(type_name, limits, ahead)) then
      ahead = ahead + 1
    else
      redis.call('ZREM', waiting_key(type_name), id)
    end
  end
end

redis.call('HLEN', P .. 'limits') -- refused if it has another type: nothing has changed yet
local all = #ARGV == 0 and redis.call('HGETALL', P .. 'limited') or {}
for i = 1, #all, 2 do call_type(all[i]) end
for _, type_name in ipairs(ARGV) do call_type(type_name) end
flush_ring()
return called
