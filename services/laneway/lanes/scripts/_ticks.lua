-- Ticks: microseconds since 2020, each given out once. They order jobs and lanes.
-- include: keys, time

-- Reserve `count` consecutive ticks and return the first. No tick is given twice, even if the clock steps back.
local function tick(count)
  local first = math.max(now_us, tonumber(redis.call('GET', P .. 'clock') or '0') + 1)
  redis.call('SET', P .. 'clock', int(first + count - 1))
  return first
end
