-- Accepting delayed jobs.
-- include: keys, time, delays
local free_from = {} -- moment -> the microseconds before this one are taken
local is_first = false -- whether one of the new jobs is the first of all to enter its lane

-- Fail if `delayed` has another type, before anything has changed.
local function check_delayed() redis.call('ZCARD', P .. 'delayed') end

-- The first microsecond, `from` or later, that no delayed job uses. Each one between `from` and it is in use, so a binary search
-- finds it.
local function free_tick(from)
  local function is_taken_up_to(to) return redis.call('ZCOUNT', P .. 'delayed', int(from), int(to)) > to - from end
  if not is_taken_up_to(from) then return from end
  local taken, free = from, from + 1
  while is_taken_up_to(free) do taken, free = free, from + 2 * (free - from) end
  while free - taken > 1 do
    local middle = math.floor((taken + free) / 2)
    if is_taken_up_to(middle) then taken = middle else free = middle end
  end
  return free
end

-- When a job enters its lane, in microseconds since 2020; false if at once. `delay`: as in ARGV of enqueue.lua.
local function entry_of(delay)
  local moment = string.byte(delay) == 43 and now_us + tonumber(delay) or tonumber(delay) -- a plus
  return moment > now_us and moment
end

-- Accept a job that enters its lane at `moment`. Returns its id.
local function delay_job(user, nonce, moment, spec)
  local seq = free_tick(free_from[moment] or moment)
  free_from[moment] = seq + 1
  local id = string.format('%013x', seq) .. nonce
  redis.call('SET', later_key(id), int(now_us) .. '\n' .. spec)
  redis.call('ZADD', delayed_key(user), int(seq), id)
  redis.call('ZADD', P .. 'delayed', int(seq), user .. ':' .. id)
  is_first = is_first or redis.call('ZCOUNT', P .. 'delayed', '-inf', int(seq)) == 1
  return id
end

-- Wake one of the processes that stand by, if a new job is the first of all to enter: its next claim learns when that is.
local function wake_one()
  if is_first and redis.call('LLEN', P .. 'wakeups') == 0 then redis.call('RPUSH', P .. 'wakeups', '1') end
end
