-- Ticks: microseconds since 2020, each given out once. They order jobs and lanes.
-- include: keys, time
local SPARE = 2 -- ticks reserved with the first ones of a script: for a lane that joins the ring and for a turn message
local next_tick, left = 0, 0

-- Return the first of `count` consecutive ticks. No tick is given twice, even if the clock steps back.
local function tick(count)
  if count > left then
    next_tick, left = math.max(now_us, tonumber(redis.call('GET', P .. 'clock') or '0') + 1), count + SPARE
    redis.call('SET', P .. 'clock', int(next_tick + left - 1))
  end
  next_tick, left = next_tick + count, left - count
  return next_tick - count
end
