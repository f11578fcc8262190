-- Permits: how many jobs of a limited type may run at once, and how many may start in a period, over all lanes.
-- include: keys, time
--
-- A permit is the name of a lease in `permits:<type>`. It holds as long as that lease is in P leases, so whatever ends the lease
-- frees the permit, and nothing is counted beside the leases. Jobs without a permit wait in `waiting:<type>`, first come first
-- served; each blocks its lane as a job does that was released with a delay.
local function permits_key(type_name) return P .. 'permits:' .. type_name end
local function waiting_key(type_name) return P .. 'waiting:' .. type_name end
local function starts_key(type_name) return P .. 'starts:' .. type_name end

-- The limits of a type as workers declared them (0: no such limit); nil if it has none.
local function limits_of_type(type_name)
  local max_running, starts, period_ms = string.match(redis.call('HGET', P .. 'limited', type_name) or '', '^(%d+) (%d+) (%d+) %d+$')
  return max_running and { max_running = tonumber(max_running), starts = tonumber(starts), period_us = period_ms * 1000 }
end

-- How many permits of a type hold, and the names of those whose lease is gone.
local function read_permits(type_name)
  local named, gone = redis.call('ZRANGE', permits_key(type_name), 0, 3999), {}
  if #named == 0 then return 0, gone end
  for i, deadline in ipairs(redis.call('ZMSCORE', P .. 'leases', unpack(named))) do
    if not deadline then gone[#gone + 1] = named[i] end
  end
  return #named - #gone, gone
end

-- When the rate lets a job start that has `ahead` others before it, in microseconds since 2020; 0 if it does not hold it up.
local function start_us(type_name, limits, ahead)
  if limits.starts == 0 then return 0 end
  if ahead >= limits.starts then return now_us + limits.period_us end
  local earlier = redis.call('LINDEX', starts_key(type_name), limits.starts - 1 - ahead)
  local at = tonumber(earlier or -math.huge) + limits.period_us
  return at > now_us and at or 0
end
