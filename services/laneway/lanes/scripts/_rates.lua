-- The rate limit of a user: GCRA with a burst of one second.
-- include: keys, time

-- Spend `count` jobs. Returns the limiter's next virtual time; nil and the time to wait, in ms, if the user enqueues too fast;
-- nothing if there is no limit.
local function spend(user, rate, count)
  if rate == 0 then return end
  local spent_us = math.max(now_us, tonumber(redis.call('GET', P .. 'rate:' .. user) or '0'))
  if spent_us > now_us + 1000000 then return nil, math.ceil((spent_us - now_us - 1000000) / 1000) end
  return spent_us + count * 1000000 / rate
end
