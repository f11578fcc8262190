-- Declaring the limits of types. In a rollout the workers of two releases declare different ones in turns: the larger ones hold as
-- long as a worker declares them, and a limit holds before none, because the jobs that wait for it must be called.
-- include: keys, time
local DECLARED_MS = 10000 -- limits that nobody has declared for so long give way: workers declare theirs five times as often

-- Of limits as text: how many may run, how many may start in a millisecond, and in a period.
local function extent_of(limits)
  local max_running, starts, period_ms = string.match(limits, '^(%d+) (%d+) (%d+)$')
  local is_rated = tonumber(starts) > 0
  return { tonumber(max_running) > 0 and tonumber(max_running) or math.huge, is_rated and starts / period_ms or math.huge, is_rated and tonumber(starts) or 0 }
end

local function is_larger(limits, other)
  local ours, others = extent_of(limits), extent_of(other)
  for i = 1, 3 do
    if ours[i] ~= others[i] then return ours[i] > others[i] end
  end
  return false
end

-- `limits`: '<max running> <max starts> <period, ms>'
local function declare_limits(type_name, limits)
  local text = redis.call('HGET', P .. 'limited', type_name)
  local known, at_ms = string.match(text or '', '^(%d+ %d+ %d+) (%d+)$')
  local is_none = string.find(limits, '^0 0 ') ~= nil
  if known then
    local age_ms = now_ms - at_ms
    local stays = age_ms >= 0 and age_ms < (known == limits and DECLARED_MS / 2 or DECLARED_MS)
    if stays and (known == limits or is_none or is_larger(known, limits)) then return end
  end
  if not is_none then
    redis.call('HSET', P .. 'limited', type_name, limits .. ' ' .. int(now_ms))
  elseif text then
    redis.call('HDEL', P .. 'limited', type_name)
  end
end
