-- Free permits of a type.
-- include: permits

-- How many more jobs of a type may run now. Forgets the permits whose lease is gone.
local function count_free(type_name, limits)
  if limits.max_running == 0 then return math.huge end
  local running, gone = read_permits(type_name)
  if #gone > 0 then redis.call('ZREM', permits_key(type_name), unpack(gone)) end
  return limits.max_running - running
end
